"""Which words of a text mattered, in steps short enough for others' questions to come between them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from bertune.data.examples import Examples
from bertune.evaluation.explain_texts import ReadTexts, read_texts
from bertune.evaluation.explanation import Reason
from bertune.evaluation.labelled_rows import TextRows
from bertune.evaluation.occlusion import IntArray, blanked, reason_of, scores_of, targets_of
from bertune.evaluation.predictions import Prediction, predictions_by
from bertune.evaluation.predictor import Predictor
from bertune.serving.page_model import PageModel
from bertune.system.json_file import JsonObject

# Of a long text, words next to each other are taken away together, so that its cost is bounded.
_MOST_SPANS: Final = 128
_TOKENS_AT_ONCE: Final = 2048


@dataclass(frozen=True)
class _Question:
    """What is to be explained.

    Args:
        texts: the example as the model reads it.
        prediction: the answer.
    """

    texts: ReadTexts
    prediction: Prediction


async def reasons_for(model: PageModel, examples: Examples) -> JsonObject:
    """Says of each word of the first example how much it spoke for the answer, by taking it away.

    Raises:
        ConfigError, DataError: texts that do not fit the model.
    """
    question: _Question = await model.call(_asked, examples)
    texts, signature = question.texts, model.signature
    spans = spans_of(texts)
    read, nothing = texts.read_pieces, np.empty(0, np.int64)
    variants = [nothing, read, *spans]
    at_once = max(1, _TOKENS_AT_ONCE // max(1, len(texts.encoded.token_ids)))
    parts = [
        await model.call(_logits, texts, variants[first : first + at_once])
        for first in range(0, len(variants), at_once)
    ]
    targets = targets_of(signature, question.prediction)
    scores = scores_of(np.concatenate(parts), signature, targets)
    reasons = [
        reason_of(
            texts,
            spans,
            of_target[0] - of_target[2:],
            np.zeros(len(texts.pieces)),
            label=signature.labels[target] if signature.labels else None,
            score=float(of_target[0]),
            blank_score=float(of_target[1]),
        )
        for target, of_target in zip(targets, scores.T, strict=True)
    ]
    return {
        "reasons": [
            {"label": reason.label, "texts": [list(_parts(text, at, reason)) for at, text in enumerate(texts.texts)]}
            for reason in reasons
        ],
        "unread": list(texts.unread),
        "grouped": len(spans) < len(texts.words()),
    }


def spans_of(texts: ReadTexts, *, most: int = _MOST_SPANS) -> list[IntArray]:
    """Returns what is taken away at a time, as numbers of pieces: words, or of a long text neighbouring words."""
    words = texts.words()
    together = -(-len(words) // most)
    if together <= 1:
        return words
    spans = []
    for text in range(len(texts.texts)):
        own = [word for word in words if texts.text_of_piece[word[0]] == text]
        spans += [np.concatenate(own[first : first + together]) for first in range(0, len(own), together)]
    return spans


def _asked(predictor: Predictor, examples: Examples) -> _Question:
    one = examples.select([0])
    return _Question(read_texts(predictor, one, 0), predictions_by(predictor, TextRows(one))[0])


def _logits(predictor: Predictor, texts: ReadTexts, pieces: Sequence[IntArray]) -> npt.NDArray[np.float32]:
    return predictor.logits(blanked(texts, pieces, blank_id=predictor.tokenizer.pad_id))


def _parts(text: str, number: int, reason: Reason) -> Iterator[JsonObject]:
    """Yields a text from its beginning to its end, in words with a weight and what is between them without."""
    end = 0
    for word in reason.words:
        if word.text != number or word.start < end:
            continue
        if word.start > end:
            yield {"text": text[end : word.start], "weight": None}
        yield {"text": text[word.start : word.end], "weight": word.attribution}
        end = word.end
    if end < len(text):
        yield {"text": text[end:], "weight": None}
