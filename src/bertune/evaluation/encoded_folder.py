"""Examples of a folder that `bertune encode` made, for a model that is already there."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.signature import ModelSignature
from bertune.data.read_report import ReadReport
from bertune.errors import ConfigError, DataError
from bertune.evaluation.labelled_rows import LabelledRows
from bertune.evaluation.predictor import TokenizedModel
from bertune.shards.manifest import NO_WINDOWS, Manifest, check_tokenizer, read_manifest
from bertune.shards.read_records import Records, read_reencoded
from bertune.tokenization.encoded_examples import EncodedExamples
from bertune.tokenization.long_texts import LongText, LongTexts


@dataclass(frozen=True, eq=False)
class ReencodedExamples(LabelledRows):
    """Examples without their texts; `evaluate` and `predict` take them in the place of texts.

    Args:
        folder: where they were read.
        manifest: of the folder.
        records: the examples.
    """

    folder: Path
    manifest: Manifest
    records: Records

    @classmethod
    def read(cls, folder: Path, model: TokenizedModel) -> "ReencodedExamples":
        """Reads a folder for a model.

        Raises:
            ConfigError: the folder was not encoded for such a model.
            DataError: the folder is not whole or not as it was written.
        """
        check_fits(model, folder, read_manifest(folder))
        return cls(folder, *read_reencoded(folder))

    @property
    def report(self) -> ReadReport:
        """The account of the rows when they were encoded."""
        return self.manifest.report()

    @property
    def texts(self) -> None:
        """None: only the tokens are there."""

    @property
    def long_texts(self) -> LongTexts:
        """How many examples were too long; records do not say it of each, the manifest says how many."""
        return self.manifest.long_texts

    def long_texts_of(self, encoded: EncodedExamples, mode: LongText) -> LongTexts:  # noqa: ARG002 (as for texts)
        """Gives `long_texts`."""
        return self.long_texts

    @property
    def example_ids(self) -> NDArray[np.int64]:
        """(examples,) position of each in the data set, from 0."""
        # A store does not write them down: its rows are in the order of the data set.
        return np.arange(len(self)) if self.records.example_ids is None else self.records.example_ids

    def __len__(self) -> int:
        return len(self.records)

    def encoded_for(self, model: TokenizedModel) -> EncodedExamples:
        """Gives the token ids.

        Raises:
            ConfigError: the folder was not encoded for such a model.
        """
        check_fits(model, self.folder, self.manifest)
        return self.records.encoded

    def where(self, row: int) -> str:
        """Names the folder and the position in the data set."""
        return f"{self.folder}: example {self.example_ids[row]}"

    def digest(self) -> str:
        """Gives the SHA-256 of tokens and targets."""
        digest = hashlib.sha256()
        for array in (self.records.encoded.token_ids, self.records.encoded.offsets, self.records.targets):
            digest.update(b"" if array is None else array.tobytes())
        return digest.hexdigest()

    def targets_for(self, signature: ModelSignature) -> NDArray[Any]:
        """Gives class ids in the model's label order, whatever the folder's order is, or values.

        Raises:
            ConfigError: classes for a model of values, or values for one of classes.
            DataError: there are no labels, one that the model does not have, or a value out of range; names the row.
        """
        kind, targets = self.manifest.recipe.kind, self.records.targets
        if kind != signature.kind:
            raise ConfigError(f"{self.folder} was encoded for {kind}, the model does {signature.kind}")
        if not signature.kind.has_labels:
            return self.records.values(self.folder, signature.target_range)
        if targets is None:
            raise DataError(f"{self.folder} has no labels", hint="encode rows with labels: --label")
        if targets.dtype.kind == "f":
            raise DataError(f"{self.folder}: the labels are {targets.dtype}, which is not what {kind} has")
        names = self.manifest.recipe.labels
        if len(targets) and not 0 <= targets.min() <= targets.max() < len(names):
            raise DataError(f"{self.folder}: the labels are not the ids 0 to {len(names) - 1}")
        in_model = np.array([signature.labels.index(name) if name in signature.labels else -1 for name in names])
        ids: NDArray[Any] = in_model[targets]
        unknown = np.flatnonzero(ids < 0)
        if len(unknown):
            raise DataError(
                f"{self.folder}: row {unknown[0]}: label '{names[targets[unknown[0]]]}' is none of "
                + ", ".join(f"'{name}'" for name in signature.labels),
                hint="these are the labels of the training data",
            )
        return ids


def check_fits(model: TokenizedModel, folder: Path, manifest: Manifest) -> None:
    """Makes sure that a folder holds what the model's own tokenizer would have made of the texts.

    Raises:
        ConfigError: another tokenizer or length, or one text instead of two; says which.
    """
    signature = model.signature
    check_tokenizer(folder, manifest, model.tokenizer.digest, model=signature.base_model or "the model")
    signature.check_texts(given_pair=manifest.recipe.is_pair, where=str(folder))
    if manifest.recipe.max_length != signature.max_length:
        raise ConfigError(
            f"{folder} was encoded with max_length {manifest.recipe.max_length}, the model has {signature.max_length}",
            hint=f"encode the data again: bertune encode --max-length {signature.max_length} …",
        )
    if manifest.recipe.long_text != signature.long_text:
        raise ConfigError(
            f"{folder} was encoded with long_text {manifest.recipe.long_text}, the model has {signature.long_text}",
            hint=NO_WINDOWS
            if signature.long_text == "windows"
            else f"encode the data again: bertune encode --long-text {signature.long_text} …",
        )
