"""Where bertune keeps what it can make or fetch again."""

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Returns `$XDG_CACHE_HOME/bertune/KIND`, or the same below `~/.cache`; it need not exist.

    Args:
        kind: what is kept there, such as `models`.

    Source: https://specifications.freedesktop.org/basedir-spec, by which a relative path is to be ignored.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME") or "")
    root = given if given.is_absolute() else Path.home() / ".cache"
    return root / "bertune" / kind
