"""Figures: one style, files that are written whole, and display in notebooks."""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bertune.errors import ConfigError, ResourceError
from bertune.plots.palette import FAINT_INK, INK, LINE, PAPER
from bertune.system.atomic import replaced_file

FORMATS = {".svg": "svg", ".png": "png"}
_STYLE: dict[str, Any] = {
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "text.parse_math": False,  # names come from users: a dollar sign is a dollar sign
    "xtick.color": LINE,
    "xtick.labelcolor": FAINT_INK,
    "xtick.labelsize": 9,
    "ytick.color": LINE,
    "ytick.labelcolor": FAINT_INK,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    # Text stays text, so that it can be searched and read aloud; ids depend on the drawing alone.
    "svg.fonttype": "none",
    "svg.hashsalt": "bertune",
}


class Picture(Figure):
    """A figure that a notebook shows without pyplot, and so without a backend or a window."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        with plain_style():
            self.savefig(stream, format="png", dpi=110, metadata={"Software": None})
        return stream.getvalue()


@contextmanager
def plain_style() -> Iterator[None]:
    """Sets matplotlib's defaults and our style for a while, so that no setting of the user's changes a picture."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


def spaced() -> ConstrainedLayoutEngine:
    """A layout that lets nothing overlap and leaves room at the edges."""
    return ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)


def check_path(path: str | Path | None) -> Path | None:
    """Takes the file a picture goes to, before anything is drawn.

    Raises:
        ConfigError: its suffix names no format that pictures have.
    """
    if path is None:
        return None
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        ending = f"not {path.suffix!r}" if path.suffix else "and the name has no suffix"
        raise ConfigError(
            f"{path}: a picture is a {' or '.join(FORMATS)} file, {ending}", hint="end the file name in .svg or .png"
        )
    return path


def write_picture(picture: Figure, path: Path, title: str) -> None:
    """Writes a picture whole or not at all; the same picture gives the same bytes.

    Args:
        picture: drawn already.
        path: ends in .svg or .png; missing folders are made.
        title: kept in the file.

    Raises:
        ConfigError: nothing can be written there.
        ResourceError: the disk is full.
    """
    kind = FORMATS[path.suffix.lower()]
    # No date and no version, or the bytes would change from day to day and from one matplotlib to the next.
    metadata = {"svg": {"Title": title, "Date": None, "Creator": "bertune"}, "png": {"Title": title, "Software": None}}
    try:
        with plain_style(), replaced_file(path) as temporary:
            picture.savefig(temporary, format=kind, dpi=150, metadata=metadata[kind])
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror or error})"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ResourceError(message, hint="free some space, or write elsewhere") from error
        raise ConfigError(message, hint="name a file in a folder that you may write to") from error
