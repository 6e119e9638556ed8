"""Why a model answered as it did: how much each word of a text spoke for the answer or against it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.errors import ConfigError
from bertune.evaluation.explain_methods import FloatArray, Score, blanked_scores, integrated_gradients
from bertune.evaluation.explain_texts import ReadTexts, read_texts
from bertune.evaluation.given_texts import GivenTexts, examples_of
from bertune.evaluation.predict_texts import predict
from bertune.evaluation.predictions import Prediction
from bertune.models.encoder import computing_in
from bertune.system.json_file import JsonObject

Method = Literal["integrated-gradients", "occlusion"]

STEPS = 32
# Where the score jumps on the way from the blank text, more points are needed; up to 2 ** 4 times as many are taken.
_MOST_DOUBLINGS = 4
_TOLERANCE = 0.01


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


def explain(
    model: LoadedModel,
    texts: GivenTexts,
    *,
    text_a: str | int | None = None,
    text_b: str | int | None = None,
    method: Method = "integrated-gradients",
    steps: int = STEPS,
    on_row: Callable[[int], None] | None = None,
) -> list[Explanation]:
    """Tells how much each word of each text spoke for its answer or against it.

    Integrated gradients costs `steps` times a forward and a backward pass an example, and twice as many as long as the
    attributions do not add up to 1 % of their own size, at most 16 times as many. Occlusion costs a forward pass for
    each word piece. Both are computed in fp32.

    Args:
        model: from `load`.
        texts: what `predict` takes but re-encoded examples: texts, pairs of texts, a table in memory, or `Examples`.
        text_a: the table's column of the (first) texts; see `predict`.
        text_b: the table's column of the second texts.
        method: `integrated-gradients`, whose attributions add up, or `occlusion`, the effect of
            blanking each word alone.
        steps: points of the integral, to begin with.
        on_row: called with 1 after each example.

    Raises:
        ConfigError: no such method, less than one step, single texts for a pair model, or the other way round, or a
            column that the table does not have.
        DataError: an entry is neither a text nor a pair; names it.

    Example:
        >>> model = bertune.load("runs/questions/model")
        >>> (explanation,) = bertune.explain(model, [("good film", "nice film")])
        >>> [word.word for word in explanation.reasons[0].words]
        ['good', 'film', 'nice', 'film']
    """
    if method not in get_args(Method):
        raise ConfigError(f"method {method!r} is none of {', '.join(get_args(Method))}")
    if steps < 1:
        raise ConfigError(f"steps must be at least 1, not {steps}")
    examples = examples_of(model.signature, texts, text_a=text_a, text_b=text_b)
    explanations = []
    with computing_in(model.classifier.encoder, torch.float32):
        for row, prediction in enumerate(predict(model, examples)):
            explanations.append(_explain(model, read_texts(model, examples, row), prediction, method, steps))
            if on_row is not None:
                on_row(1)
    return explanations


def _explain(model: LoadedModel, texts: ReadTexts, prediction: Prediction, method: Method, steps: int) -> Explanation:
    targets = targets_of(model.signature, prediction)
    score = score_of(model.signature, targets)
    blank_id, words = model.tokenizer.pad_id, texts.words()
    read, nothing = texts.read_pieces, np.empty(0, np.int64)
    alone = [] if method == "integrated-gradients" else [*read.reshape(-1, 1), *words]
    scores = blanked_scores(model.classifier, texts, score, [nothing, read, *alone], blank_id=blank_id).T
    if method == "integrated-gradients":
        for doubling in range(_MOST_DOUBLINGS + 1):
            of_pieces = integrated_gradients(model.classifier, texts, score, blank_id=blank_id, steps=steps << doubling)
            missing = np.abs(of_pieces.sum(axis=1) - (scores[:, 0] - scores[:, 1]))
            if (missing <= _TOLERANCE * np.abs(of_pieces).sum(axis=1)).all():
                break
        of_words = np.stack([of_pieces[:, word].sum(axis=1) for word in words], axis=1) if words else scores[:, 2:]
    else:
        of_pieces = np.zeros((len(targets), len(texts.pieces)))
        of_pieces[:, read] = scores[:, :1] - scores[:, 2 : 2 + len(read)]
        of_words = scores[:, :1] - scores[:, 2 + len(read) :]
    reasons = [
        Reason(
            model.signature.labels[target] if model.signature.labels else None,
            float(scores[row, 0]),
            float(scores[row, 1]),
            _word_reasons(texts, words, of_pieces[row], of_words[row]),
        )
        for row, target in enumerate(targets)
    ]
    return Explanation(texts.texts, prediction, method, tuple(reasons), texts.unread)


def targets_of(signature: ModelSignature, prediction: Prediction) -> list[int]:
    """Returns the numbers of the outputs that are explained."""
    if not signature.kind.has_labels:
        return [0]
    if prediction.labels is not None:
        most_probable = max(prediction.probabilities, key=prediction.probabilities.__getitem__)
        return [signature.labels.index(label) for label in prediction.labels or (most_probable,)]
    assert prediction.label is not None
    return [signature.labels.index(prediction.label)]


def score_of(signature: ModelSignature, targets: list[int]) -> Score:
    """Returns what maps logits (rows, labels) to the explained scores, (rows, targets).

    Log-odds rather than logits: to add the same number to all logits changes no answer, and must not explain one.
    """

    def score(logits: Tensor) -> Tensor:
        if not signature.kind.has_labels:
            return logits
        scaled = logits / signature.temperature
        if signature.kind.has_label_sets:
            return scaled[:, targets]
        others = [[label for label in range(scaled.shape[1]) if label != target] for target in targets]
        return scaled[:, targets] - torch.stack([scaled[:, rest].logsumexp(dim=1) for rest in others], dim=1)

    return score


def _word_reasons(
    texts: ReadTexts, words: list[Any], of_pieces: FloatArray, of_words: FloatArray
) -> tuple[WordReason, ...]:
    found = []
    for numbers, attribution in zip(words, of_words.tolist(), strict=True):
        pieces = [texts.pieces[number] for number in numbers]
        number = int(texts.text_of_piece[numbers[0]])
        start, end = pieces[0].start, pieces[-1].end
        reasons = (
            PieceReason(piece.piece, piece.start, piece.end, float(of_pieces[index]))
            for piece, index in zip(pieces, numbers, strict=True)
        )
        found.append(WordReason(texts.texts[number][start:end], number, start, end, attribution, tuple(reasons)))
    return tuple(found)
