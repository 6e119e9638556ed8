"""Which rows of a proof an export keeps: enough to prove it again, few enough to do so in seconds."""

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.model_folder import LoadedModel
from bertune.exports.proof_rows import LIMIT_ROWS
from bertune.runtime.padded_rows import ProofRows
from bertune.tokenization.encoded_examples import EncodedExamples

_MOST_ROWS = 256
_MOST_EXAMPLES = 1000
# Of weights and tokens; a core with AVX2 alone takes a few seconds for so many, and in int8 for several times as many.
_MOST_PRODUCTS = 6e10
_MOST_INT8_PRODUCTS = 2.5e11
_SEED = 30


def sampled(rows: ProofRows, model: LoadedModel) -> NDArray[np.int64]:
    """Chooses some of the rows that `rows_for` has made, always the same.

    Rows at the limits, texts and random rows, the last two about equally many: 256 in all, and of a large model as many
    as it answers within seconds, of which those at the limits take half at most.

    Args:
        rows: of the proof.
        model: for its size.

    Returns:
        Their numbers, sorted.
    """
    lengths = rows.encoded.lengths
    tokens = _MOST_PRODUCTS / _products_of_a_token(model)
    limits = np.arange(rows.texts, rows.texts + LIMIT_ROWS)
    kept = _within(limits[np.argsort(lengths[limits], kind="stable")], lengths, tokens / 2)
    random = np.random.default_rng(_SEED)
    texts = random.permutation(rows.texts)
    drawn = random.permutation(np.arange(limits[-1] + 1, len(rows)))
    both = min(len(texts), len(drawn))
    turns = np.stack([texts[:both], drawn[:both]], axis=1).reshape(-1)
    others = np.concatenate([turns, texts[both:], drawn[both:]])
    left = tokens - int(lengths[kept].sum())
    chosen = [*kept, *_within(others[: _MOST_ROWS - len(kept)], lengths, left)]
    return np.array(sorted(chosen), np.int64)


def sampled_examples(encoded: EncodedExamples, same: NDArray[np.bool_], model: LoadedModel) -> NDArray[np.int64]:
    """Chooses some of the labelled rows that an export in int8 was proved on.

    All of them, if there are 1,000 at most that it answers within seconds. Otherwise a sample in which no larger a
    share changes its label than in the whole: the rule about that share is one for the sample, too.

    Args:
        encoded: all of them.
        same: (examples,) whether the export gives the model's label.
        model: for its size.

    Returns:
        Their numbers, sorted.
    """
    tokens = _MOST_INT8_PRODUCTS / _products_of_a_token(model)
    count = len(encoded)
    affordable = int(count * min(1.0, tokens / max(1, int(encoded.example_lengths.sum()))))
    wanted = min(count, _MOST_EXAMPLES, max(1, affordable))
    if wanted == count:
        return np.arange(count)
    (others,), (equal,) = np.nonzero(~same), np.nonzero(same)
    differing = int(len(others) * wanted / count)
    return np.sort(np.concatenate([_spread(others, differing), _spread(equal, wanted - differing)]))


def _spread(numbers: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Takes so many numbers, one from each part."""
    places = np.linspace(0, max(len(numbers) - 1, 0), min(count, len(numbers)))
    return np.asarray(numbers[places.astype(np.int64)])


def _within(numbers: NDArray[np.int64], lengths: NDArray[np.int64], tokens: float) -> list[int]:
    """Takes rows in their order while their tokens are no more; one that is too long is left out."""
    taken: list[int] = []
    for number in numbers.tolist():
        if lengths[number] <= tokens:
            taken.append(number)
            tokens -= lengths[number]
    return taken


def _products_of_a_token(model: LoadedModel) -> int:
    layers = model.classifier.encoder.layers_in_order
    return sum(parameter.numel() for layer in layers for parameter in layer.parameters())
