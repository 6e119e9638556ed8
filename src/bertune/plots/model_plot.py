"""`plot_model`: the blocks of a model, drawn."""

from pathlib import Path

from matplotlib.figure import Figure

from bertune.models.classifier import Classifier
from bertune.models.encoder import Encoder
from bertune.plots.figure import Picture, check_path, plain_style, write_picture
from bertune.plots.outline import TIMES, Block, LayerRun, Outline, outline_of
from bertune.plots.palette import FAINT_INK, FILLS, FRAME
from bertune.plots.pen import Font, Pen, Place

# All lengths are inches.
_WIDTH = 7.4
_LEFT, _RIGHT = 1.0, 6.4
_FRAME_LEFT, _FRAME_RIGHT = 0.3, 7.1
_RESIDUAL_X = 0.65
_MIDDLE = (_LEFT + _RIGHT) / 2
_GAP = 0.34
_BLOCK_HEIGHT, _SLIM_HEIGHT, _TABLE_HEIGHT = 0.56, 0.34, 0.78
_TABLE_WIDTH, _TABLE_SPACE = 2.1, 0.25
_MARGIN = 0.12  # between a box's edge and its text
_INPUTS = {
    "embeddings.token": "token ids",
    "embeddings.position": "positions",
    "embeddings.token_type": "type ids",
    "relative": "distances",
}
# Places of a row; fewer tables stand in the middle of it.
_PLACES = 3
_NOTE = "In the boxes: parameters. Tokens: those of all sequences of a batch, without padding. Sequences: its examples."


def plot_model(model: Encoder | Classifier, path: str | Path | None = None) -> Figure:
    """Draws a model: its blocks, their parameter counts, and the shapes between them.

    Layers one after another that are alike are drawn once, with their number. Shapes are those of the packed
    computation: `tokens` counts the tokens of all sequences, `sequences` the examples. Only sizes are read, so a model
    built under `torch.device("meta")`, which takes no memory, can be drawn too.

    Args:
        model: an encoder or a classifier.
        path: an .svg or .png file to write; None writes nothing.

    Returns:
        The figure, which a notebook shows. In SVG the boxes have their modules' names as ids, the counts
        `NAME.parameters`.

    Raises:
        ConfigError: another kind of model, a path of another suffix, or one that cannot be written.
        ResourceError: the disk is full.

    Example:
        >>> figure = bertune.plot_model(bertune.load("runs/questions/model").classifier, "model.svg")
    """
    path = check_path(path)
    outline = outline_of(model)
    with plain_style():
        picture = _draw(outline)
    if path is not None:
        write_picture(picture, path, f"{outline.title}, {outline.parameters:,} parameters")
    return picture


def _draw(outline: Outline) -> Picture:
    picture = Picture()
    axes = picture.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    pen = Pen(axes, y=0.3)
    _draw_title(pen, outline)
    _draw_embeddings(pen, outline)
    hidden = outline.embedding_ends[-1].output
    _flow(pen, hidden)
    for number, run in enumerate(outline.layers, start=1):
        _draw_layers(pen, run)
        _flow(pen, hidden if number < len(outline.layers) else outline.hidden)
    for block in outline.ends:
        _draw_block(pen, block, block.path)
        _flow(pen, block.output)
    for block in (*outline.shared, *outline.unused):
        pen.y += 0.12 if block.kind == "unused" else 0.3  # away from the arrow above, which does not lead to it
        _draw_block(pen, block, block.path)
    pen.write(_MIDDLE, pen.y + 0.28, _NOTE, font=Font(8, color=FAINT_INK), align="center")
    height = pen.y + 0.5
    picture.set_size_inches(_WIDTH, height)
    axes.set_xlim(0, _WIDTH)
    axes.set_ylim(height, 0)
    return picture


def _draw_title(pen: Pen, outline: Outline) -> None:
    pen.write(_FRAME_LEFT, pen.y, outline.title, font=Font(14, bold=True))
    totals = f"{outline.parameters:,} parameters, {_size(outline.num_bytes)} in {' and '.join(outline.kinds)}"
    if outline.frozen:
        totals += f", {outline.frozen:,} frozen"
    pen.write(_FRAME_LEFT, pen.y + 0.29, totals, font=Font(10, color=FAINT_INK), name="total")
    pen.y += 0.68


def _draw_embeddings(pen: Pen, outline: Outline) -> None:
    top = pen.y
    before = max(0, _PLACES - len(outline.tables)) / 2
    for number, table in enumerate(outline.tables):
        left = _FRAME_LEFT + (before + number) * (_TABLE_WIDTH + _TABLE_SPACE)
        middle = left + _TABLE_WIDTH / 2
        pen.y = top
        pen.write(middle, pen.y, _INPUTS[table.path], align="center")
        pen.y += 0.12
        _flow(pen, "tokens", x=middle)
        pen.box(Place(pen.y, left, left + _TABLE_WIDTH, _TABLE_HEIGHT), fill=FILLS[table.kind], name=table.path)
        pen.write(middle, pen.y + 0.16, table.name, font=Font(10, bold=True), align="center")
        pen.write(middle, pen.y + 0.39, table.detail, align="center")
        pen.write(middle, pen.y + 0.62, _count(table), name=f"{table.path}.parameters", font=Font(10), align="center")
        pen.y += _TABLE_HEIGHT
        _flow(pen, table.output, x=middle)
    for number, block in enumerate(outline.embedding_ends):
        if number:
            _flow(pen, outline.embedding_ends[number - 1].output)
        _draw_block(pen, block, block.path)


def _draw_layers(pen: Pen, run: LayerRun) -> None:
    top = pen.y
    words = "Transformer layer" if run.count == 1 else f"Transformer layer {TIMES} {run.count}"
    numbers = f"layer {run.first}" if run.count == 1 else f"layers {run.first} to {run.first + run.count - 1}"
    total = f"{run.parameters:,} parameters{'' if run.count == 1 else ' each'}"
    pen.write(_FRAME_LEFT + _MARGIN, top + 0.2, words, font=Font(10, bold=True))
    pen.write(_FRAME_RIGHT - _MARGIN, top + 0.2, f"{numbers}: {total}", align="right", name=f"layers.{run.first}.each")
    # The residual ways leave the flow just above each step, and come back at its last block.
    branch = top + 0.42
    _flow(pen, "", length=0.56)
    for step in run.steps:
        for block in step[:-1]:
            _draw_block(pen, block, f"layers.{run.first}.{block.path}")
            _flow(pen, block.output)
        last = step[-1]
        middle = pen.y + _SLIM_HEIGHT / 2
        pen.arrow((_MIDDLE, branch), (_RESIDUAL_X, branch), (_RESIDUAL_X, middle), (_LEFT, middle))
        _draw_block(pen, last, f"layers.{run.first}.{last.path}")
        if step is not run.steps[-1]:
            branch = pen.y + 0.09
            _flow(pen, last.output)
    pen.y += 0.16
    pen.box(Place(top, _FRAME_LEFT, _FRAME_RIGHT, pen.y - top), fill=FRAME, behind=True, name=f"layers.{run.first}")


def _draw_block(pen: Pen, block: Block, name: str) -> None:
    """Draws a box: name and count on one line, what it does on a second where there is something to say."""
    height = _BLOCK_HEIGHT if block.detail else _SLIM_HEIGHT
    first = pen.y + (0.18 if block.detail else height / 2)
    unused = block.kind == "unused"
    pen.box(Place(pen.y, _LEFT, _RIGHT, height), fill=FILLS[block.kind], dashed=unused, name=name)
    if block.detail:
        pen.write(_LEFT + _MARGIN, first, block.name, font=Font(10, bold=True))
        pen.write(_LEFT + _MARGIN, pen.y + 0.39, block.detail)
    else:
        pen.write(_LEFT + _MARGIN, first, block.name)
    pen.write(_RIGHT - _MARGIN, first, _count(block), font=Font(10), align="right", name=f"{name}.parameters")
    pen.y += height


def _flow(pen: Pen, shape: str, *, x: float = _MIDDLE, length: float = _GAP) -> None:
    """Draws an arrow down from the present place, with what flows beside it."""
    pen.arrow((x, pen.y), (x, pen.y + length))
    if shape:
        pen.write(x + 0.1, pen.y + length / 2, shape, font=Font(8.5, color=FAINT_INK))
    pen.y += length


def _count(block: Block) -> str:
    if not block.frozen:
        return f"{block.parameters:,}"
    return f"{block.parameters:,} {'frozen' if block.frozen == block.parameters else 'partly frozen'}"


def _size(num_bytes: int) -> str:
    mebibytes = num_bytes / (1 << 20)
    return f"{mebibytes:,.0f} MiB" if mebibytes >= 100 else f"{mebibytes:.1f} MiB"
