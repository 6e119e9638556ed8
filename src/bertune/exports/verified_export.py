"""Proves an export again where it is used, whatever its format."""

from collections.abc import Callable
from pathlib import Path

from bertune.exports.formats import find_format
from bertune.runtime import verification
from bertune.runtime.export_files import read_agreement
from bertune.runtime.verification import Verification, verified


def verify(folder: str | Path, *, on_rows: Callable[[int], None] | None = None) -> Verification:
    """Proves an export again, on the machine at hand.

    Every file has to be the one that was proved, by its SHA-256, and none may be a link or have been added. The export
    is loaded in a fresh process and has to answer a sample of the rows of its proof, which it keeps, as the model did:
    by the same rule, see `export`. Neither the model nor its data are needed; for an ONNX export no torch is imported.

    Args:
        folder: that `export` made.
        on_rows: called with the number of rows done in each batch.

    Returns:
        What was found, and how fast the export is here.

    Raises:
        DataError: the folder holds no export.
        CheckpointError: a file is missing, was changed or added, is a link or cannot be read; or an earlier bertune
            made the export, and there are no rows in it.
        ConfigError: a package that the format needs is not installed.
        ResourceError: not enough disk or memory.
        BertuneError: it answers otherwise than the model on this machine; says by how much.

    Example:
        >>> agreement = bertune.export("runs/questions/model", "exported", format="tf_checkpoint")
        >>> bertune.verify("exported").max_difference <= agreement.tolerance
        True
    """
    folder = Path(folder)
    name = read_agreement(folder)["format"]
    if name == "onnx":
        return verification.verify(folder, on_rows=on_rows)
    return verified(folder, find_format(name).answer, on_rows=on_rows)
