"""Which rows an export keeps."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bertune import load
from bertune.exports import stored_sample
from bertune.exports.proof_rows import LIMIT_ROWS, rows_for
from bertune.exports.stored_sample import sampled, sampled_examples
from bertune.tokenization.encoded_examples import EncodedExamples, offsets_of

SMALL = SimpleNamespace(classifier=SimpleNamespace(encoder=SimpleNamespace(layers_in_order=[torch.nn.Linear(8, 8)])))


def test_limits_texts_and_random_rows_are_kept_always_the_same(make_model: Callable[..., Path]) -> None:
    model = load(make_model())
    rows = rows_for(model)
    chosen = sampled(rows, model)
    assert len(chosen) == len(set(chosen)) == 256
    limits = set(range(rows.texts, rows.texts + LIMIT_ROWS))
    assert limits <= set(chosen)
    texts = int((chosen < rows.texts).sum())
    assert abs(texts - (256 - LIMIT_ROWS) / 2) <= 1
    assert len(np.unique(rows.encoded.lengths[chosen])) > 20
    assert np.array_equal(chosen, sampled(rows, model))
    assert (rows.take(chosen).texts, len(rows.take(chosen))) == (texts, 256)


@pytest.mark.parametrize("tokens", [100, 300, 2000])
def test_of_a_large_model_as_many_as_it_answers_in_seconds(
    tokens: int, make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(make_model())
    rows = rows_for(model)
    of_a_token = sum(parameter.numel() for parameter in model.classifier.encoder.layers.parameters())
    monkeypatch.setattr(stored_sample, "_MOST_PRODUCTS", tokens * of_a_token)
    chosen = sampled(rows, model)
    lengths = rows.encoded.lengths[chosen]
    assert 0.5 * tokens < lengths.sum() <= tokens
    is_limit = (chosen >= rows.texts) & (chosen < rows.texts + LIMIT_ROWS)
    assert 0 < lengths[is_limit].sum() <= tokens / 2
    assert (chosen < rows.texts).any()


@settings(max_examples=60, deadline=None)
@example(count=1148, changed=0, seed=0)  # 1000 / 1148 * 1148 is less than 1000
@given(count=st.integers(1, 3000), changed=st.integers(0, 40), seed=st.integers(0, 9))
def test_no_sample_has_a_larger_share_of_changed_labels_than_the_whole(count: int, changed: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    same = np.ones(count, bool)
    same[random.permutation(count)[:changed]] = False
    lengths = random.integers(1, 9, count)
    encoded = EncodedExamples(
        np.zeros(lengths.sum(), np.int32), offsets_of(lengths), lengths.astype(np.int32), np.zeros(count, bool), 9
    )
    chosen = sampled_examples(encoded, same, SMALL)
    assert len(np.unique(chosen)) == len(chosen) == min(count, 1000)
    assert (~same[chosen]).mean() <= (~same).mean()
