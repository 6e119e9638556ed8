"""How much each word of a text mattered, by taking it away; imports no torch, so that any `Predictor` can be asked.

What is away is the padding piece in the place of the piece, at its position. Special tokens, BERT's [CLS] and [SEP],
stay: they are no part of a text. [MASK] and a vector of zeros were tried too: with an encoder of sentence vectors,
which has long unlearned [MASK], masking any word whatever moves the answer, and the order of the words says little more
than chance (docs/guides/explaining.md has the figures).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation.answers import scaled
from bertune.evaluation.explain_texts import ReadTexts
from bertune.evaluation.explanation import PieceReason, Reason, WordReason
from bertune.evaluation.predictions import Prediction
from bertune.tokenization.encoded_examples import EncodedExamples

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def blanked(texts: ReadTexts, blank_pieces: Sequence[IntArray], *, blank_id: int) -> EncodedExamples:
    """Repeats an example as often as asked, each time with other pieces blank.

    Args:
        texts: the example.
        blank_pieces: of each variant, the numbers of the pieces in whose place padding stands.
        blank_id: id of the padding piece.

    Returns:
        One example for each variant, of as many windows as the text has.
    """
    copies = texts.encoded.take(np.zeros(len(blank_pieces), np.int64))
    is_blank = np.concatenate([np.isin(texts.piece_of_token, pieces) for pieces in blank_pieces])
    ids = np.where(is_blank, blank_id, copies.token_ids).astype(copies.token_ids.dtype)
    return replace(copies, token_ids=ids)


def targets_of(signature: ModelSignature, prediction: Prediction) -> list[int]:
    """Returns the numbers of the outputs that are explained."""
    if not signature.kind.has_labels:
        return [0]
    if prediction.labels is not None:
        most_probable = max(prediction.probabilities, key=prediction.probabilities.__getitem__)
        return [signature.labels.index(label) for label in prediction.labels or (most_probable,)]
    assert prediction.label is not None
    return [signature.labels.index(prediction.label)]


def scores_of(logits: npt.NDArray[np.float32], signature: ModelSignature, targets: Sequence[int]) -> FloatArray:
    """Maps logits to what is explained: the log-odds of labels, or the value.

    Log-odds rather than logits: to add the same number to all logits changes no answer, and must not explain one.

    Args:
        logits: (rows, outputs).
        signature: of the model.
        targets: from `targets_of`.

    Returns:
        (rows, targets).
    """
    if not signature.kind.has_labels:
        return logits.astype(np.float64)
    each = scaled(logits, signature)
    if signature.kind.has_label_sets:
        return each[:, targets]
    others = [np.logaddexp.reduce(np.delete(each, target, axis=1), axis=1) for target in targets]
    log_odds: FloatArray = each[:, targets] - np.stack(others, axis=1)
    return log_odds


def reason_of(
    texts: ReadTexts,
    words: Sequence[IntArray],
    of_words: FloatArray,
    of_pieces: FloatArray,
    *,
    label: str | None,
    score: float,
    blank_score: float,
) -> Reason:
    """Puts together why a label, or a value, was given.

    Args:
        texts: the example.
        words: each as the numbers of its pieces.
        of_words: (words,) attributions.
        of_pieces: (pieces,) attributions.
        label: which one; None for a value.
        score: see `Reason`.
        blank_score: see `Reason`.
    """
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
    return Reason(label, score, blank_score, tuple(found))
