"""What becomes of texts that are too long: which tokens stay, and where windows begin.

How many tokens of each text have room is decided by `truncated_lengths` in every mode, for a pair as the original
shares them out. The modes differ in which tokens of the text these are.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray

from bertune.errors import ConfigError
from bertune.tokens.examples import EncodedExamples
from bertune.tokens.truncation import LongText

#: Of the tokens that stay, one in four is from the beginning: 128 of 510, as Sun et al. (2019) kept them.
_HEAD_SHARE: Final = 4

_OUTCOMES: dict[LongText, Callable[["LongTexts"], str]] = {
    "first": lambda _: "cut",
    "head-tail": lambda _: "head and tail kept",
    "windows": lambda report: f"read in {report.windows_each:.1f} windows on average",
}


def head_lengths(kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """Says how many of the tokens that stay of a long text are its first ones: a quarter, rounded up.

    Source: Sun et al., 2019 (https://arxiv.org/abs/1905.05583), section 5.3.1: 128 of 510 tokens.
    """
    return -(-kept // _HEAD_SHARE)


def checked_stride(long_text: LongText, window_stride: int | None, *, max_length: int, pairs: bool) -> int | None:
    """Checks mode and stride, and fills in the default stride.

    A text has the whole window to itself, or, of a pair, at least half of it. The default stride is half of that, so
    that every token has its neighbours around it in some window.

    Args:
        long_text: the mode.
        window_stride: tokens by which each window begins after the one before; None takes the default.
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
    room = (max_length - 3) // 2 if pairs else max_length - 2
    texts = "a text of a pair" if pairs else "a text"
    if room < 2:
        raise ConfigError(
            f"max_length {max_length} is too small for windows: they need room for 2 tokens of {texts}",
            hint=f"use --max-length {7 if pairs else 4} or more",
        )
    stride = room // 2 if window_stride is None else window_stride
    if not 1 <= stride <= room:
        raise ConfigError(
            f"window_stride must lie between 1 and {room}, the tokens of {texts} in a window, not {stride}",
            hint=f"windows of max_length {max_length} would leave tokens out" if stride > room else None,
        )
    return stride


def window_counts(whole: NDArray[np.int64], kept: NDArray[np.int64], stride: int) -> NDArray[np.int64]:
    """Says how many windows show every token of a text.

    Args:
        whole: tokens of each text.
        kept: how many of them each window has room for.
        stride: tokens by which each window begins after the one before.
    """
    return 1 - (kept - whole) // stride


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
    def of(cls, encoded: EncodedExamples, long_text: LongText) -> "LongTexts":
        """Counts them in encoded examples."""
        over = encoded.over_length
        windows = int(encoded.sequence_counts[over].sum())
        return cls(long_text, encoded.max_length, len(encoded), int(over.sum()), windows)

    @property
    def windows_each(self) -> float:
        """Mean sequences of an example over length."""
        return self.windows / max(self.over_length, 1)

    def summary(self) -> str:
        """Says it in one line, for instance `12 of 80 (15.0 %) over 128 tokens: cut`."""
        if not self.over_length:
            return f"none of {self.examples:,} over {self.max_length} tokens"
        share = f"{100 * self.over_length / self.examples:.1f} %"
        return (
            f"{self.over_length:,} of {self.examples:,} ({share}) over {self.max_length} tokens: "
            f"{_OUTCOMES[self.long_text](self)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Gives the counts as plain values for JSON."""
        return asdict(self)
