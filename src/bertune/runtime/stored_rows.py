"""Rows that an export keeps with the model's answers to them, by which it is proved again wherever it is used."""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.signature import ModelSignature
from bertune.data.task_kind import TaskKind
from bertune.errors import BertuneError, CheckpointError
from bertune.evaluation.windows import mean_of_windows
from bertune.runtime.int8_agreement import int8_difference
from bertune.runtime.logit_differences import compare
from bertune.runtime.padded_rows import ProofRows, arrays_of_strings, strings_of
from bertune.tokenization.encoded_examples import EncodedExamples, offsets_of

ROWS_FILE: Final = "proof_rows.npz"
_AGAIN: Final = "export the model again: bertune export RUN OUT --format …"


@dataclass(frozen=True, eq=False)
class StoredValidation:
    """Labelled rows for an export in int8.

    Args:
        encoded: the examples; one may have several windows.
        expected: (examples, outputs), logits of the model.
        targets: of the examples.
        is_whole: whether these are all of the validation rows.
    """

    encoded: EncodedExamples
    expected: NDArray[np.float32]
    targets: NDArray[Any]
    is_whole: bool


@dataclass(frozen=True)
class StoredDifference:
    """How far an export's answers to the stored rows are from the model's.

    Args:
        rows: that were compared.
        max_difference: largest difference of a logit.
        equal: share of the rows with the model's label, or labels; 1 for a regression.
    """

    rows: int
    max_difference: float
    equal: float


@dataclass(frozen=True, eq=False)
class StoredRows:
    """A sample of the rows of a proof, with the logits of the model, and the rule by which they are compared.

    Args:
        rows: rows at the limits, texts and random ids; each one sequence, as exports take them.
        expected: (rows, outputs), logits of the model, before they are divided by its temperature.
        tolerance: largest difference of a logit.
        temperature: of the model; the export's logits are divided by it.
        kind: of the task.
        validation: of an export in int8, which need not be equal on random ids; None for one in float32.
    """

    rows: ProofRows
    expected: NDArray[np.float32]
    tolerance: float
    temperature: float
    kind: TaskKind
    validation: StoredValidation | None = None

    @property
    def asked(self) -> ProofRows:
        """What the export is asked: the validation rows, each window a row, and the sample."""
        if self.validation is None:
            return self.rows
        given = self.validation.encoded.sequences
        return replace(self.rows, encoded=_joined(given, self.rows.encoded), texts=len(given) + self.rows.texts)

    def without_texts(self) -> Self:
        """Returns the same without the texts: rows at the limits and random ids still tell whether it is the model."""
        kept = np.arange(self.rows.texts, len(self.rows))
        return replace(self, rows=self.rows.take(kept), expected=self.expected[kept])

    def compare(self, answered: NDArray[np.float32], signature: ModelSignature | None) -> StoredDifference:
        """Compares what an export has answered to `asked`.

        Args:
            answered: (rows, outputs), as the export gives them.
            signature: of the export, into whose head the temperature is folded; None for one in float32.

        Raises:
            BertuneError: it is not equal; for int8 see `compare_int8`.
        """
        # In the size of the model's own logits: at a low temperature the last bits of those are large in the export.
        logits = answered * np.float32(self.temperature)
        if self.validation is None:
            found = compare(self.expected, logits, tolerance=self.tolerance, kind=self.kind)
            rows = len(self.expected)
            return StoredDifference(rows, found.largest, 1 - found.tied_rows / max(rows, 1))
        assert signature is not None
        kept, count = self.validation, len(self.validation.encoded.sequences)
        if not np.isfinite(logits).all() or logits.shape != (count + len(self.rows), self.expected.shape[1]):
            raise BertuneError("logits are not finite, or not one row for each that was asked")
        own = replace(signature, temperature=self.temperature, folded_temperature=1.0)
        lost = int8_difference(
            kept.expected,
            mean_of_windows(logits[:count], kept.encoded),
            kept.targets,
            own,
            # Of a part of the rows chance alone moves a metric by a point; a regression has nothing else.
            metric_counts=kept.is_whole or not self.kind.has_labels,
        )
        return StoredDifference(len(kept.targets), lost.max_difference, lost.equal)

    def write(self, folder: Path) -> None:
        """Writes the file, the same bytes for the same rows."""
        arrays: dict[str, Any] = {
            **_arrays_of(self.rows.encoded),
            "sizes": np.array([self.rows.texts, self.rows.vocab_size, self.rows.max_positions]),
            "expected": self.expected,
            "rule": np.array([self.tolerance, self.temperature]),
            "kind": np.array(self.kind.value),
            **arrays_of_strings(self.rows.strings),
        }
        if self.validation is not None:
            kept = self.validation
            arrays |= {f"validation_{name}": array for name, array in _arrays_of(kept.encoded).items()}
            arrays |= {
                "validation_expected": kept.expected,
                "validation_targets": kept.targets,
                "validation_is_whole": np.array(kept.is_whole),
            }
        with (folder / ROWS_FILE).open("wb") as stream:
            # Numpy gives each entry of the archive the same time, that of no clock.
            np.savez(stream, **arrays)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads the file of an export.

        Raises:
            CheckpointError: there is none, it cannot be read, or what the model answered is no number.
        """
        path = folder / ROWS_FILE
        if not path.is_file():
            raise CheckpointError(f"{folder}: an export of an earlier bertune, which keeps no rows", hint=_AGAIN)
        try:
            with zipfile.ZipFile(path) as archive:
                # As `write` makes them: what is packed could be any number of times larger than the file.
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise ValueError("a compressed entry")
            with np.load(path, allow_pickle=False) as arrays:
                return cls._of({name: arrays[name] for name in arrays.files})
        except Exception as error:  # zipfile and numpy have one for each kind of damage, even SyntaxError
            raise CheckpointError(f"{path}: cannot be read ({error})", hint=_AGAIN) from error

    @classmethod
    def _of(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        texts, vocab_size, max_positions = (int(size) for size in arrays["sizes"])
        encoded = _encoded_of(arrays, "", max_positions)
        tolerance, temperature = (float(number) for number in arrays["rule"])
        validation = None
        if "validation_expected" in arrays:
            validation = StoredValidation(
                _encoded_of(arrays, "validation_", max_positions),
                _finite(arrays["validation_expected"]),
                arrays["validation_targets"],
                bool(arrays["validation_is_whole"]),
            )
            if not len(validation.encoded) == len(validation.expected) == len(validation.targets):
                raise ValueError("rows, logits and targets are not equally many")
        expected = _finite(arrays["expected"])
        if len(expected) != len(encoded) or not tolerance > 0 or not temperature > 0:
            raise ValueError("rows and logits are not equally many, or there is no tolerance")
        rows = ProofRows(encoded, texts, vocab_size, max_positions, strings_of(arrays, texts))
        return cls(rows, expected, tolerance, temperature, TaskKind(str(arrays["kind"])), validation)


def _finite(logits: NDArray[Any]) -> NDArray[np.float32]:
    if logits.ndim != 2 or not len(logits) or not np.isfinite(logits).all():
        raise ValueError("the model's logits are not finite numbers")
    return logits.astype(np.float32)


def _arrays_of(encoded: EncodedExamples) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {
        "token_ids": encoded.token_ids,
        "offsets": encoded.offsets,
        "first_lengths": encoded.first_lengths,
        "truncated": encoded.truncated,
    }
    return arrays if encoded.example_offsets is None else arrays | {"example_offsets": encoded.example_offsets}


def _encoded_of(arrays: dict[str, NDArray[Any]], prefix: str, max_length: int) -> EncodedExamples:
    names = ("token_ids", "offsets", "first_lengths", "truncated")
    ids, offsets, first_lengths, truncated = (arrays[prefix + name] for name in names)
    if not all(np.issubdtype(array.dtype, np.integer) for array in (ids, offsets, first_lengths)):
        raise ValueError("ids that are no whole numbers")
    return EncodedExamples(ids, offsets, first_lengths, truncated, max_length, arrays.get(f"{prefix}example_offsets"))


def _joined(one: EncodedExamples, two: EncodedExamples) -> EncodedExamples:
    return replace(
        two,
        token_ids=np.concatenate([one.token_ids.astype(np.int32), two.token_ids.astype(np.int32)]),
        offsets=offsets_of(np.concatenate([one.lengths, two.lengths])),
        first_lengths=np.concatenate([one.first_lengths, two.first_lengths]),
        truncated=np.concatenate([one.truncated, two.truncated]),
    )
