"""The proof of an export again, on the machine that uses it; imports no torch."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bertune.checkpoints.signature import ModelSignature
from bertune.errors import BertuneError, CheckpointError, ConfigError, ResourceError
from bertune.runtime.export_files import AGREEMENT_FILE, check_files, read_agreement
from bertune.runtime.export_speed import SPEED_WORDS, ExportSpeed
from bertune.runtime.exported_model import SIGNATURE_FILE
from bertune.runtime.fresh_answers import Answers, answers_of
from bertune.runtime.padded_rows import ProofRows
from bertune.runtime.stored_rows import ROWS_FILE, StoredRows
from bertune.system.instructions import instructions, integer_instructions
from bertune.system.json_file import JsonObject
from bertune.wording.aligned import aligned
from bertune.wording.counts import counted

OnRows = Callable[[int], None]
Answer = Callable[[ProofRows, Path, Path, OnRows], Answers]
_ONNX: Final = "onnx"
_PROGRAM: Final = "bertune.runtime.onnx_answers"
_HINT: Final = "do not use it here; export the model again on this machine: bertune export RUN OUT --format …"


@dataclass(frozen=True)
class Verification:
    """What an export answers on this machine; see `verify`.

    Args:
        format: of the export.
        is_int8: whether its products are of 8-bit integers.
        rows: stored ones that were compared with the model's answers.
        max_difference: largest difference of a logit, before it is divided by a temperature.
        equal_labels: share of the rows with the model's label, or labels; 1 for a regression.
        speed: here.
        instructions: of this processor: its architecture, and what matters for products of matrices.
        exported_on: the same of the processor that the export was made on.
        warnings: what a user of the export on this machine has to know.

    Example:
        >>> agreement = bertune.export("runs/questions/model", "exported", format="tf_checkpoint")
        >>> verified = bertune.verify("exported")
        >>> verified.equal_labels, verified.instructions == verified.exported_on
        (1.0, True)
    """

    format: str
    is_int8: bool
    rows: int
    max_difference: float
    equal_labels: float
    speed: ExportSpeed
    instructions: tuple[str, ...]
    exported_on: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> JsonObject:
        """Returns JSON-ready values."""
        return asdict(self) | {"speed": self.speed.to_dict()}

    def summary(self) -> str:
        """Returns one line."""
        precision = " in int8" if self.is_int8 else ""
        return (
            f"{self.format}{precision}, {counted(self.rows, 'stored row')}: {self.equal_labels:.1%} of the labels are "
            f"the model's, logits differ by at most {self.max_difference:.1e}"
        )

    def lines(self) -> list[str]:
        """Returns size, speed and processor, as a short table."""
        here, there = " ".join(self.instructions), " ".join(self.exported_on)
        processors = ["processor: " + here + (", that of the export" if here == there else "")]
        if here != there:
            processors.append(f"exported on: {there or 'unknown'}")
        return [*aligned([("", *SPEED_WORDS), ("here", *self.speed.texts())]), *processors]


def verify(folder: str | Path, *, on_rows: OnRows | None = None) -> Verification:
    """Proves an ONNX export again, by the rows that it keeps; neither this process nor the fresh one imports torch.

    Args:
        folder: that `bertune export --format onnx` made.
        on_rows: called with the number of rows done in each batch.

    Raises:
        ConfigError: an export of another format, for which `bertune.verify` is.
        BertuneError: see `verified`.
    """
    folder = Path(folder)
    name = read_agreement(folder)["format"]
    if name != _ONNX:
        raise ConfigError(f"{folder}: an export to {name}, not to {_ONNX}", hint="bertune verify takes all formats")
    return verified(folder, answer_by_onnx, on_rows=on_rows)


def answer_by_onnx(rows: ProofRows, folder: Path, between: Path, on_rows: OnRows) -> Answers:
    """Lets an ONNX export answer rows in a fresh process; see `answers_of`."""
    return answers_of(_PROGRAM, rows, folder, between, on_rows)


def verified(folder: Path, answer: Answer, *, on_rows: OnRows | None = None) -> Verification:
    """Proves an export of any format again.

    Its files have to be those that were proved, each by its digest. It is loaded in a fresh process and has to answer
    the rows that it keeps as the model did, by the rule of the first proof.

    Args:
        folder: of the export.
        answer: lets such an export answer rows in a fresh process.
        on_rows: called with the number of rows done in each batch.

    Raises:
        DataError: the folder holds no export.
        CheckpointError: a file is missing, was changed or added, is a link or cannot be read; or an earlier bertune
            made the export, and there are no rows in it.
        ResourceError: not enough disk or memory.
        BertuneError: it answers otherwise than the model on this machine; says by how much.
    """
    agreement = read_agreement(folder)
    check_files(folder, agreement["files"])
    stored = StoredRows.read(folder)
    int8 = agreement.get("int8")
    is_int8 = isinstance(int8, dict)
    if is_int8 != (stored.validation is not None):
        raise CheckpointError(f"{folder}: {AGREEMENT_FILE} and {ROWS_FILE} are not of one export")
    signature = None if stored.validation is None else ModelSignature.read(folder, name=SIGNATURE_FILE)
    with tempfile.TemporaryDirectory(prefix="bertune-") as between:
        answers = answer(stored.asked, folder, Path(between), on_rows or (lambda _rows: None))
    warnings = _about_integers(int8) if isinstance(int8, dict) else ()
    try:
        found = stored.compare(answers.logits, signature)
    except (CheckpointError, ResourceError):
        raise
    except BertuneError as error:
        said = "".join(f"; {warning}" for warning in warnings)
        raise BertuneError(f"{folder}: {error.message}{said}", hint=_HINT) from error
    size = sum((folder / name).stat().st_size for name in agreement["files"] if name != ROWS_FILE)
    return Verification(
        format=agreement["format"],
        is_int8=is_int8,
        rows=found.rows,
        max_difference=found.max_difference,
        equal_labels=found.equal,
        speed=answers.of_size(size),
        instructions=instructions(),
        exported_on=_texts(agreement.get("instructions")),
        warnings=warnings,
    )


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(map(str, values)) if isinstance(values, list) else ()


def _about_integers(int8: JsonObject) -> tuple[str, ...]:
    """Says what an export in int8 means on a processor with other products of 8-bit integers."""
    here = integer_instructions()
    if int8.get("reduced_range"):
        if here is None:
            return ()
        return (
            "int8 was made on a processor without exact products of 8-bit integers, so its weights have 7 bits; this "
            f"one has them ({here}): exported here, the weights would have 8",
        )
    if here is not None:
        return ()
    return (
        f"int8 was made on a processor with exact products of 8-bit integers ({int8.get('instructions')}), which this "
        "one does not have: sums of products with its 8-bit weights can saturate here",
    )
