"""Small tables on disk, and the real GLUE files where there are any."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file exactly as given."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.fixture(scope="session")
def glue_dir() -> Path:
    """The folder with the original GLUE files; tests that need it are skipped without."""
    beside_repository = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "glue"
    folder = Path(os.environ.get("BERTUNE_GLUE_DIR", str(beside_repository)))
    if not (folder / "MRPC").is_dir():
        pytest.skip(f"no GLUE files (BERTUNE_GLUE_DIR, or {beside_repository})")
    return folder
