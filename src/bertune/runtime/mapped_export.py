"""An export to ONNX laid out for several processes on one machine, all of which map its weights from one file."""

import shutil
from collections.abc import Callable
from pathlib import Path

from bertune.errors import CheckpointError, ResourceError
from bertune.runtime.export_files import AGREEMENT_FILE
from bertune.runtime.exported_model import MODEL_FILE, SIGNATURE_FILE, ExportedModel, check_export, read_export
from bertune.runtime.fresh_answers import answers_of
from bertune.runtime.onnx_answers import answers_by
from bertune.runtime.onnx_session import OnnxSession, lay_out
from bertune.runtime.verification import verified
from bertune.system.json_file import JsonObject
from bertune.system.processors import threads_of_products
from bertune.tokenization.tokenizer_files import ALWAYS_WRITTEN, SOMETIMES_WRITTEN


def lay_out_export(folder: Path, out: Path) -> None:
    """Writes an export as ONNX Runtime computes it on this machine, and proves what it wrote.

    Args:
        folder: that `bertune export --format onnx` made.
        out: a new folder, for this process and those that it starts alone.

    Raises:
        ResourceError: there is no room.
        BertuneError: see `ExportedModel.load` and `verified`.
    """
    check_export(folder)
    try:
        out.mkdir(parents=True)
        for name in (AGREEMENT_FILE, SIGNATURE_FILE, *(ALWAYS_WRITTEN | SOMETIMES_WRITTEN)):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, out / name)
        lay_out(folder / MODEL_FILE, out / MODEL_FILE)
    except (OSError, CheckpointError) as error:
        # ONNX Runtime does not tell a full disk from a bad file.
        has_room = shutil.disk_usage(out.parent.parent).free > (folder / MODEL_FILE).stat().st_size
        if isinstance(error, CheckpointError) and has_room:
            raise
        raise ResourceError(
            f"{out}: the weights cannot be laid out there for several processes",
            hint="free some space, or name another folder: TMPDIR",
        ) from error
    # By the rows and digests of the folder, which is proved by what the processes will map.
    verified(folder, lambda rows, _folder, between, on_rows: answers_of(__name__, rows, out, between, on_rows))


def load_mapped_export(folder: Path) -> ExportedModel:
    """Loads what `lay_out_export` wrote.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    return read_export(folder, lambda: _session(folder))


def answer_rows(*, folder: str, rows: str, out: str, on_rows: Callable[[int], None]) -> JsonObject:
    """Does what `onnx_answers` does, with what `lay_out_export` wrote; the work of a fresh process."""
    return answers_by(_session(Path(folder)), rows, out, on_rows)


def _session(folder: Path) -> OnnxSession:
    return OnnxSession(folder / MODEL_FILE, threads=threads_of_products(), laid_out=True)
