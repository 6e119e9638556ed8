"""What is said of why a model answered as it did; imports no torch."""

from dataclasses import asdict, dataclass
from typing import Literal

from bertune.evaluation.predictions import Prediction
from bertune.system.json_file import JsonObject

Method = Literal["integrated-gradients", "occlusion"]


@dataclass(frozen=True)
class PieceReason:
    """What one word piece did.

    Args:
        piece: as in the vocabulary.
        start: its first character in the text.
        end: behind its last character.
        attribution: above 0 it spoke for the answer, below 0 against it; in the units of `Reason.score`.
    """

    piece: str
    start: int
    end: int
    attribution: float


@dataclass(frozen=True)
class WordReason:
    """What one word did.

    Args:
        word: as it stands in the text.
        text: 0 for the first text, 1 for the second of a pair.
        start: its first character in the text.
        end: behind its last character.
        attribution: by integrated gradients the sum over its pieces; by occlusion the effect of blanking all of them.
        pieces: those of it that the model read.
    """

    word: str
    text: int
    start: int
    end: int
    attribution: float
    pieces: tuple[PieceReason, ...]


@dataclass(frozen=True)
class Reason:
    """Why a label, or a value, was given.

    Args:
        label: which one; None for a value.
        score: what the attributions explain: the log-odds of the label, log p / (1 - p), so 0 is a probability of one
            half; or the value.
        blank_score: the same with padding in the place of every word piece.
        words: in the order of the texts.
    """

    label: str | None
    score: float
    blank_score: float
    words: tuple[WordReason, ...]

    @property
    def residual(self) -> float:
        """What the attributions of the words leave unexplained of `score - blank_score`.

        By integrated gradients it is the error of the integral. By occlusion it is what the words do together.
        """
        return self.score - self.blank_score - sum(word.attribution for word in self.words)

    def to_dict(self) -> JsonObject:
        """Returns the reason as JSON-ready values."""
        return asdict(self) | {"residual": self.residual}


@dataclass(frozen=True)
class Explanation:
    """Why one example got its answer.

    Args:
        texts: one, or the two of a pair.
        prediction: the answer.
        method: how it was explained.
        reasons: one for the label or the value; one for each label that was given, where there can be several, or if
            none was given, one for the most probable.
        unread: word pieces of each text that the model did not read, since the text is too long.
    """

    texts: tuple[str, ...]
    prediction: Prediction
    method: Method
    reasons: tuple[Reason, ...]
    unread: tuple[int, ...]

    def to_dict(self) -> JsonObject:
        """Returns texts, answer and explanation as JSON-ready values."""
        named = dict(zip(("text_a", "text_b"), self.texts, strict=False))
        reasons = [reason.to_dict() for reason in self.reasons]
        explanation = {"method": self.method, "reasons": reasons, "unread": list(self.unread)}
        return named | self.prediction.to_dict() | {"explanation": explanation}
