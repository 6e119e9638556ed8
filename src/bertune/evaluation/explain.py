"""Why a model answered as it did: how much each word of a text spoke for the answer or against it."""

from collections.abc import Callable
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.errors import ConfigError
from bertune.evaluation.explain_methods import Score, integrated_gradients
from bertune.evaluation.explain_texts import ReadTexts, read_texts
from bertune.evaluation.explanation import Explanation, Method
from bertune.evaluation.given_texts import examples_of
from bertune.evaluation.given_types import GivenTexts
from bertune.evaluation.logits import predict_logits
from bertune.evaluation.occlusion import blanked, reason_of, scores_of, targets_of
from bertune.evaluation.predict_texts import predict
from bertune.evaluation.predictions import Prediction
from bertune.models.encoder import computing_in

STEPS = 32
# Where the score jumps on the way from the blank text, more points are needed; up to 2 ** 4 times as many are taken.
_MOST_DOUBLINGS = 4
_TOLERANCE = 0.01


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
    logits = predict_logits(model.classifier, blanked(texts, [nothing, read, *alone], blank_id=blank_id))
    scores = scores_of(logits, model.signature, targets).T
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
    reasons = (
        reason_of(
            texts,
            words,
            of_words[row],
            of_pieces[row],
            label=model.signature.labels[target] if model.signature.labels else None,
            score=float(scores[row, 0]),
            blank_score=float(scores[row, 1]),
        )
        for row, target in enumerate(targets)
    )
    return Explanation(texts.texts, prediction, method, tuple(reasons), texts.unread)


def score_of(signature: ModelSignature, targets: list[int]) -> Score:
    """Returns what maps logits to the explained scores as `scores_of` does, in torch, which knows its gradient."""

    def score(logits: Tensor) -> Tensor:
        if not signature.kind.has_labels:
            return logits
        scaled = logits / signature.temperature
        if signature.kind.has_label_sets:
            return scaled[:, targets]
        others = [[label for label in range(scaled.shape[1]) if label != target] for target in targets]
        return scaled[:, targets] - torch.stack([scaled[:, rest].logsumexp(dim=1) for rest in others], dim=1)

    return score
