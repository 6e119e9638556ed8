"""An export of a fine-tuned model that predicts without torch."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bertune.errors import CheckpointError, ConfigError
from bertune.runtime.export_files import AGREEMENT_FILE, check_files, read_agreement

# What takes its time is imported while the files are checked.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bertune.checkpoints.signature import ModelSignature
    from bertune.evaluation.given_types import GivenTexts
    from bertune.evaluation.predictions import Predictions
    from bertune.runtime.onnx_session import OnnxSession
    from bertune.tokenization.encoded_examples import EncodedExamples
    from bertune.tokenization.tokenizer_protocol import Tokenizer

MODEL_FILE: Final = "model.onnx"
SIGNATURE_FILE: Final = "contract.json"
_FORMAT: Final = "onnx"


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """A `Predictor` of a folder that `bertune export --format onnx` made.

    Args:
        folder: of the export.
        tokenizer: the one that the model was trained with.
        signature: of the model, with a temperature of 1: it is folded into the head.
        computed_by: in which precision, and by which version of ONNX Runtime.
        compute: the logits of examples, see `Predictor.logits`.

    Example:
        >>> agreement = bertune.export("runs/questions/model", "exported/onnx", format="onnx")
        >>> exported = bertune.ExportedModel.load("exported/onnx")
        >>> predictions = exported.predict([("Where is my parcel?", "When will my order arrive?")])
        >>> predictions[0].label in exported.signature.labels
        True
    """

    folder: Path
    tokenizer: "Tokenizer"
    signature: "ModelSignature"
    computed_by: str
    compute: "Callable[..., NDArray[np.float32]]"

    @classmethod
    def load(cls, folder: str | Path, *, threads: int | None = None) -> "ExportedModel":
        """Loads an export, after checking each of its files against its digest.

        Args:
            folder: that `bertune export --format onnx` made.
            threads: of one product; None takes OMP_NUM_THREADS where it is set, else as many as there are cores that
                this process may use.

        Raises:
            DataError: the folder holds no export.
            CheckpointError: a file is missing, was changed or added, or cannot be read.
            ConfigError: an export of another format, or onnxruntime is not installed.
        """
        folder = Path(folder)

        def open_session() -> "OnnxSession":
            from bertune.runtime.onnx_session import OnnxSession

            return OnnxSession(folder / MODEL_FILE, threads=threads)

        return read_export(folder, open_session, is_checked=False)

    def logits(
        self, encoded: "EncodedExamples", *, on_batch: Callable[[int], None] | None = None
    ) -> "NDArray[np.float32]":
        """Computes the logits of examples; see `Predictor`."""
        return self.compute(encoded, on_batch=on_batch)

    def predict(self, texts: "GivenTexts", *, on_batch: Callable[[int], None] | None = None) -> "Predictions":
        """Predicts texts; see `bertune.predict`.

        Args:
            texts: a list or series of texts; for a pair model a list of pairs of texts; a table in memory; `Examples`.
            on_batch: called with the number of examples done in each batch.

        Raises:
            ConfigError, DataError: as `bertune.predict` does.
        """
        # Readers of tables, which take their time, are behind it.
        from bertune.evaluation.given_texts import rows_of
        from bertune.evaluation.predictions import predictions_by

        return predictions_by(self, rows_of(self.signature, texts), on_batch=on_batch)


def check_export(folder: Path) -> None:
    """Checks each file of an export to ONNX against its digest.

    Raises:
        DataError, CheckpointError, ConfigError: see `ExportedModel.load`.
    """
    agreement = read_agreement(folder)
    if agreement["format"] != _FORMAT:
        raise ConfigError(
            f"{folder}: an export to {agreement['format']}, which bertune does not run itself",
            hint="export to onnx, or name the run",
        )
    check_files(folder, agreement["files"])


def read_export(folder: Path, open_session: "Callable[[], OnnxSession]", *, is_checked: bool = True) -> ExportedModel:
    """Puts a model together.

    Args:
        folder: with its files.
        open_session: opens its ONNX file.
        is_checked: whether `check_export` is behind it.

    Raises:
        DataError, CheckpointError, ConfigError: see `ExportedModel.load`.
    """
    # What starts for one text waits for the longest of these alone: neither digests nor a session need Python.
    with ThreadPoolExecutor(1) as beside:
        checking = beside.submit(lambda: None if is_checked else check_export(folder))
        from bertune.checkpoints.signature import ModelSignature
        from bertune.tokenization.read_tokenizer import read_tokenizer

        checking.result()
        opening = beside.submit(open_session)
        signature = ModelSignature.read(folder, name=SIGNATURE_FILE)
        tokenizer = read_tokenizer(folder)
        session = opening.result()
    agreement = read_agreement(folder)
    if not tokenizer.digest == signature.tokenizer_digest == agreement.get("tokenizer_digest"):
        raise CheckpointError(f"{folder}: tokenizer, {SIGNATURE_FILE} and {AGREEMENT_FILE} are not of one model")
    precision = "fp32" if agreement.get("int8") is None else "int8"
    return ExportedModel(folder, tokenizer, signature, f"{precision}, ONNX Runtime {session.version}", session.logits)
