"""Where the original GLUE files lie, if anywhere."""

import os
from pathlib import Path


def mrpc_folder() -> Path | None:
    """Returns the folder of GLUE (`BERTUNE_GLUE_DIR`, or `../shared/data/glue`) where it holds MRPC."""
    named = os.environ.get("BERTUNE_GLUE_DIR")
    folder = Path(named) if named else Path(__file__).parents[3] / "shared" / "data" / "glue"
    return folder if (folder / "MRPC").is_dir() else None
