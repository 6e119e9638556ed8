"""What the program that writes a SavedModel must know of the model, beside its weights."""

from dataclasses import dataclass
from typing import Final, Literal

from bertune.data.task_kind import TaskKind
from bertune.tokenization.long_texts import LongText

#: Ends the file of what a SavedModel answers to strings.
TEXT_ANSWERS: Final = ".texts.npz"


@dataclass(frozen=True)
class TextDescription:
    """How the strings that a SavedModel takes become rows of tokens, and its logits become answers.

    Args:
        tables: path of the file with the arrays of the tokenizer; see `WordPieceTables`.
        names: of the inputs: one for single texts, two for pairs.
        max_length: tokens of a row at most.
        long_text: which tokens stay of a longer one: first or head-tail.
        cls_id: id of [CLS].
        sep_id: id of [SEP].
        pad_id: id of [PAD].
        unk_id: id of [UNK].
        kind: of the task.
        labels: their names; empty for values.
        thresholds: as in `ModelSignature`.
        target_range: least and largest value; None for labels and unbounded values.
    """

    tables: str
    names: tuple[str, ...]
    max_length: int
    long_text: LongText
    cls_id: int
    sep_id: int
    pad_id: int
    unk_id: int
    kind: TaskKind
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    target_range: tuple[float, float] | None


@dataclass(frozen=True)
class ProgramDescription:
    """A model without its weights; it passes between two processes as a JSON file.

    Args:
        layers: of the encoder.
        heads: of each layer.
        activation: of the feed-forward parts: gelu, gelu_tanh, relu, silu or quick_gelu.
        norm_epsilon: of the layer norms.
        pooling: cls or mean.
        probabilities: what makes them of logits; None for values.
        assets: paths of the files that go into the export.
        texts: of a SavedModel that takes strings; None for one that takes token ids.
    """

    layers: int
    heads: int
    activation: str
    norm_epsilon: float
    pooling: str
    probabilities: Literal["softmax", "sigmoid"] | None
    assets: tuple[str, ...]
    texts: TextDescription | None = None
