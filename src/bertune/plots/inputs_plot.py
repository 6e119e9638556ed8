"""`plot_inputs`: the tutorial's three arrays as pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from bertune.batches.batch import PADDED_NAMES, Batch, read_padded
from bertune.errors import ConfigError, DataError
from bertune.plots.figure import Picture, check_path, plain_style, spaced, write_picture
from bertune.plots.palette import INK, LINE, PADDING, SERIES

_Grid = np.ma.MaskedArray[tuple[int, ...], np.dtype[np.int64]]

_WIDTH = 11.0
_TWO = (SERIES[0], SERIES[4])
_MAX_KINDS = 16  # of types that get a colour each; BERT has two
# Most of a text are frequent words, whose ids are small: the square root gives them most of the colours.
_POWER = 0.5


def plot_inputs(batch: Batch | Mapping[str, Any], path: str | Path | None = None, *, max_examples: int = 500) -> Figure:
    """Draws an encoder's inputs: one panel each for token ids, mask and types, one row per example.

    Padding is grey in all three, whatever numbers it holds. A packed batch has none: there grey is where an example is
    shorter than the longest.

    Args:
        batch: what `bert_encode` returns (`input_word_ids`, `input_mask`, `input_type_ids`, each (examples, tokens),
            numpy or torch), or a packed `Batch`.
        path: an .svg or .png file to write; None writes nothing.
        max_examples: how many examples to draw, from the first on; the title says if there are more.

    Returns:
        The figure, which a notebook shows. Its axes hold the arrays as images, padding masked.

    Raises:
        ConfigError: an array is missing or of another shape, there is nothing to draw, a path of another suffix, or
            one that cannot be written.
        DataError: the mask holds other numbers than 0 and 1, or an id is negative, or a type outside 0..15.
        ResourceError: the disk is full.

    Example:
        >>> tokenizer = bertune.BertTokenizer("bert/vocab.txt")
        >>> inputs = bertune.bert_encode({"sentence1": ["good film", "bad"], "sentence2": ["nice", "sad"]}, tokenizer)
        >>> figure = bertune.plot_inputs(inputs, "inputs.svg")
    """
    path = check_path(path)
    if max_examples < 1:
        raise ConfigError(f"max_examples must be at least 1, not {max_examples}")
    ids, real, types = _lay_out_packed(batch) if isinstance(batch, Batch) else _read_arrays(batch)
    if not ids.size:
        raise ConfigError(f"there is nothing to draw: the inputs have {ids.shape[0]} rows of {ids.shape[1]} tokens")
    _check_numbers(ids[real], types[real])
    title = _title(real, max_examples)
    with plain_style():
        picture = _draw(ids[:max_examples], real[:max_examples], types[:max_examples], title)
    if path is not None:
        write_picture(picture, path, f"inputs: {title}")
    return picture


def _read_arrays(inputs: Mapping[str, Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    ids, real, types = (tensor.cpu().numpy() for tensor in read_padded(inputs))
    return ids, real, types


def _lay_out_packed(batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    lengths = batch.layout.sequence_lengths.numpy()
    real = np.arange(batch.layout.max_seqlen) < lengths[:, None]
    ids, types = np.zeros(real.shape, np.int64), np.zeros(real.shape, np.int64)
    ids[real] = batch.token_ids.cpu().numpy()
    types[real] = batch.token_type_ids.cpu().numpy()
    return ids, real, types


def _check_numbers(ids: NDArray[np.int64], types: NDArray[np.int64]) -> None:
    """Refuses what no text gives; takes the numbers of real tokens alone."""
    if ids.min(initial=0) < 0:
        raise DataError(f"{PADDED_NAMES[0]} holds {ids.min()}, and a token id is never negative")
    wrong = types[(types < 0) | (types >= _MAX_KINDS)]
    if wrong.size:
        raise DataError(f"{PADDED_NAMES[2]} holds {wrong[0]}; types from 0 to {_MAX_KINDS - 1} can be drawn")


def _title(real: NDArray[np.bool_], max_examples: int) -> str:
    rows, columns = real.shape
    examples = f"{rows:,} example{'s' * (rows != 1)}"
    if rows > max_examples:
        examples = f"the first {max_examples:,} of {examples}"
    shown = real[:max_examples]
    return f"{examples}, {columns:,} token positions, {100 * (1 - shown.mean()):.0f} % padding"


def _draw(ids: NDArray[np.int64], real: NDArray[np.bool_], types: NDArray[np.int64], title: str) -> Picture:
    picture = Picture(figsize=(_WIDTH, 2.4 + min(2.6, max(0.5, 0.13 * len(ids)))), layout=spaced())
    picture.suptitle(title, fontsize=11, color=INK, x=0.01, ha="left")
    panels = picture.subplots(1, 3, sharey=True)
    _draw_ids(panels[0], np.ma.array(ids, mask=~real))
    _draw_kinds(panels[1], np.ma.array(real.astype(np.int64)), (PADDING, SERIES[2]), ["0 padding", "1 token"])
    kinds = int(types[real].max(initial=1)) + 1
    labels = ["0 first text", "1 second text"] if kinds == 2 else [str(kind) for kind in range(kinds)]
    colors = _TWO if kinds == 2 else matplotlib.colormaps["cividis"].resampled(kinds)(range(kinds))
    _draw_kinds(panels[2], np.ma.array(types, mask=~real), colors, labels)
    panels[0].set_ylabel("example")
    for panel, name in zip(panels, PADDED_NAMES, strict=True):
        panel.set_title(name, loc="left")
        panel.set_xlabel("token position")
        panel.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
        panel.yaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
        panel.spines[:].set_visible(True)
    if not real.all():
        swatch = Patch(facecolor=PADDING, edgecolor=LINE, linewidth=0.6, label="padding")
        picture.legend(handles=[swatch], loc="outside upper right")
    return picture


def _draw_ids(panel: Axes, ids: _Grid) -> None:
    largest = max(1, int(ids.filled(0).max()))
    scale = PowerNorm(_POWER, vmin=0, vmax=largest)
    image = _draw_cells(panel, ids, matplotlib.colormaps["viridis"], scale)
    bar = panel.figure.colorbar(image, ax=panel, location="bottom", shrink=0.9, aspect=30)
    bar.set_ticks(_id_ticks(largest))
    bar.ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    bar.set_label("token id")


def _draw_kinds(panel: Axes, values: _Grid, colors: Any, labels: list[str]) -> None:
    """Draws numbers of which there are few, each with its colour and its word under the panel."""
    scale = BoundaryNorm(np.arange(len(labels) + 1) - 0.5, len(labels))
    image = _draw_cells(panel, values, ListedColormap(colors), scale)
    bar = panel.figure.colorbar(image, ax=panel, location="bottom", shrink=0.9, aspect=30)
    bar.set_ticks(range(len(labels)), labels=labels)
    bar.ax.tick_params(length=0)


def _draw_cells(panel: Axes, values: _Grid, colors: Colormap, scale: Normalize) -> AxesImage:
    return panel.imshow(
        values, cmap=colors.with_extremes(bad=PADDING), norm=scale, aspect="auto", interpolation="none", origin="upper"
    )


def _id_ticks(largest: int) -> list[int]:
    """Round ids that lie about evenly on the scale, which is a square root."""
    wanted = [largest * share**2 for share in (0, 0.25, 0.5, 0.75, 1)]
    return sorted({int(float(f"{value:.2g}")) for value in wanted[:-1]} | {largest})
