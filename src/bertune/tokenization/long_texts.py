"""What may become of texts that are too long, and the account of what did."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from bertune.errors import ConfigError
from bertune.tokenization.pair_template import PairTemplate
from bertune.wording.metric_text import part_of

if TYPE_CHECKING:
    from bertune.tokenization.encoded_examples import EncodedExamples

#: What becomes of a text that is too long: see `ModelSignature.long_text`.
LongText = Literal["first", "head-tail", "windows"]

_OUTCOMES: dict[LongText, Callable[["LongTexts"], str]] = {
    "first": lambda _: "cut",
    "head-tail": lambda _: "head and tail kept",
    "windows": lambda report: f"read in {report.windows_each:.1f} windows on average",
}


def checked_stride(
    long_text: LongText, window_stride: int | None, *, template: PairTemplate, max_length: int, pairs: bool
) -> int | None:
    """Checks mode and stride, and fills in the default stride.

    A text has the whole window to itself, or, of a pair, at least half of it. The default stride is half of that, so
    that every token has its neighbours around it in some window.

    Args:
        long_text: the mode.
        window_stride: tokens by which each window begins after the one before; None takes the default.
        template: which special tokens each window has.
        max_length: tokens of a window at most, special tokens counted.
        pairs: whether examples have two texts.

    Returns:
        The stride for `windows`, else None.

    Raises:
        ConfigError: the mode is not known, a stride without windows or too large for them, or windows without room.
    """
    if long_text not in get_args(LongText):
        raise ConfigError(f"long_text must be one of {', '.join(get_args(LongText))}, not {long_text!r}")
    if long_text != "windows":
        if window_stride is not None:
            raise ConfigError(
                f"--window-stride is for windows, and --long-text is {long_text}",
                hint="add --long-text windows, or leave --window-stride out",
            )
        return None
    room = template.room(max_length, pairs=pairs) // (2 if pairs else 1)
    texts = "a text of a pair" if pairs else "a text"
    if room < 2:
        raise ConfigError(
            f"max_length {max_length} is too small for windows: they need room for 2 tokens of {texts}",
            hint=f"use --max-length {template.shortest(pairs=pairs, tokens=2)} or more",
        )
    stride = room // 2 if window_stride is None else window_stride
    if not 1 <= stride <= room:
        raise ConfigError(
            f"window_stride must lie between 1 and {room}, the tokens of {texts} in a window, not {stride}",
            hint=f"windows of max_length {max_length} would leave tokens out" if stride > room else None,
        )
    return stride


@dataclass(frozen=True)
class LongTexts:
    """How many examples were too long, and what became of them.

    Args:
        long_text: the mode.
        max_length: tokens of an example, or of a window, at most.
        examples: all of them.
        over_length: those with more tokens.
        windows: sequences that the ones over length were read in; for other modes one each.
    """

    long_text: LongText
    max_length: int
    examples: int
    over_length: int
    windows: int

    @classmethod
    def of(cls, encoded: "EncodedExamples", long_text: LongText) -> "LongTexts":
        """Counts them in encoded examples."""
        over = encoded.over_length
        windows = int(encoded.sequence_counts[over].sum())
        return cls(long_text, encoded.max_length, len(encoded), int(over.sum()), windows)

    def __add__(self, other: "LongTexts") -> "LongTexts":
        """Adds the counts of more examples of the same model."""
        return replace(
            self,
            examples=self.examples + other.examples,
            over_length=self.over_length + other.over_length,
            windows=self.windows + other.windows,
        )

    @property
    def windows_each(self) -> float:
        """Mean sequences of an example over length."""
        return self.windows / max(self.over_length, 1)

    def summary(self) -> str:
        """Says it in one line, for instance `12 of 80 (15.0 %) over 128 tokens: cut`."""
        if not self.over_length:
            return f"none of {self.examples:,} over {self.max_length} tokens"
        share = part_of(self.over_length, self.examples)
        return (
            f"{self.over_length:,} of {self.examples:,} ({share}) over {self.max_length} tokens: "
            f"{_OUTCOMES[self.long_text](self)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Gives the counts as plain values for JSON."""
        return asdict(self)
