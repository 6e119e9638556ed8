"""How much each piece of a text mattered to a score, by integrated gradients.

What they start from is the same absence as that of `occlusion`: padding in the place of the pieces.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bertune.batches.batch import pack
from bertune.evaluation.explain_texts import ReadTexts
from bertune.evaluation.logits import evaluating
from bertune.models.classifier import Classifier
from bertune.nn.dense import vectors_of

FloatArray = npt.NDArray[np.float64]
# Of a backward pass, which keeps what lies between.
_TOKENS_AT_ONCE = 2048
#: From logits (rows, labels) to what is explained, (rows, scores).
Score = Callable[[Tensor], Tensor]


def integrated_gradients(
    classifier: Classifier, texts: ReadTexts, score: Score, *, blank_id: int, steps: int
) -> FloatArray:
    """Integrates the gradient of a score over the embeddings of the tokens, from padding everywhere to the text.

    The attributions add up to the score of the text less the score of the blank one, up to the error of the integral,
    which is by Gauss and Legendre.

    Args:
        classifier: the model, in fp32.
        texts: the example.
        score: what is explained.
        blank_id: id of the padding piece.
        steps: points at which the gradient is taken.

    Returns:
        (scores, pieces); 0 for pieces that are not read.

    Source: Sundararajan, Taly and Yan, 2017 (https://arxiv.org/abs/1703.01365).
    """
    ids = texts.sequences.token_ids.astype(np.int64)
    table = classifier.encoder.input_embeddings
    blank = np.where(texts.is_text, blank_id, ids)
    start = vectors_of(table, torch.from_numpy(blank)).detach()
    way = vectors_of(table, torch.from_numpy(ids)).detach() - start
    points, weights = np.polynomial.legendre.leggauss(steps)
    at_once = max(1, _TOKENS_AT_ONCE // len(ids))
    parts = []
    with evaluating(classifier):
        for first in range(0, steps, at_once):
            some = slice(first, first + at_once)
            shares = torch.from_numpy((points[some] + 1) / 2).to(way)
            gradients = _gradients(classifier, texts, start + shares[:, None, None] * way, score)
            along = (gradients * way).sum(dim=-1).double().cpu().numpy()
            parts.append(np.einsum("p,spt->st", weights[some] / 2, along))
    return _by_piece(np.sum(parts, axis=0), texts)


def _gradients(classifier: Classifier, texts: ReadTexts, vectors: Tensor, score: Score) -> Tensor:
    """Returns the gradients of all scores at several points: (scores, points, tokens, hidden_size).

    Args:
        classifier: the model.
        texts: the example.
        vectors: (points, tokens, hidden_size), of the tokens.
        score: what is explained.
    """
    count = len(texts.sequences)
    copies = texts.sequences.take(np.tile(np.arange(count), len(vectors)))
    batch = pack(copies, device=vectors.device)
    leaves = vectors.flatten(0, 1).requires_grad_()
    hidden = classifier.encoder.encode(batch, first_only=classifier.first_only, token_vectors=leaves)
    scores = score(_pooled(classifier.logits_of(hidden, batch.layout), count)).sum(dim=0)
    # `grad` of a chosen input leaves the parameters' gradients alone.
    gradients = [torch.autograd.grad(each, leaves, retain_graph=True)[0] for each in scores]
    return torch.stack(gradients).view(len(scores), *vectors.shape)


def _pooled(logits: Tensor, sequences: int) -> Tensor:
    """Averages the logits of an example's windows: (rows x sequences, labels) to (rows, labels)."""
    return logits.view(-1, sequences, logits.shape[1]).mean(dim=1)


def _by_piece(of_tokens: FloatArray, texts: ReadTexts) -> FloatArray:
    """Adds up what the tokens of each piece got; it has several where windows overlap."""
    of_pieces = np.zeros((len(of_tokens), len(texts.pieces)))
    np.add.at(of_pieces.T, texts.piece_of_token[texts.is_text], of_tokens.T[texts.is_text])
    return of_pieces
