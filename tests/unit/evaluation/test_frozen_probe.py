"""The regression on frozen features: that it fits what can be fitted, and changes nothing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.training.conftest import make_classifier, make_dataset

from bertune.batches.dataset import Dataset
from bertune.data.task_kind import TaskKind
from bertune.evaluation.frozen_probe import probe, rows_for_probe
from bertune.evaluation.mean_features import mean_features
from bertune.evaluation.regression_baseline import RegressionBaseline
from bertune.evaluation.score_parts import Scoring
from bertune.models.encoder import Encoder
from bertune.tokenization.encoded_examples import EncodedExamples


@pytest.fixture
def encoder() -> Encoder:
    return make_classifier().encoder


def probed(encoder: Encoder, train: Dataset, validation: Dataset, **changes: Any) -> RegressionBaseline | None:
    settings: dict[str, Any] = {
        "kind": TaskKind.CLASSIFICATION,
        "metrics": ("accuracy",),
        "num_labels": 2,
        "epochs": 3,
        "precision": torch.float32,
    }
    settings |= changes
    kind, metrics, labels = (settings.pop(name) for name in ("kind", "metrics", "num_labels"))
    names = None if kind == TaskKind.REGRESSION else tuple(map(str, range(labels)))
    return probe(encoder, train, validation, Scoring(kind, metrics, names), **settings)


def with_targets(data: Dataset, targets: Any) -> Dataset:
    return replace(data, targets=targets)


@pytest.mark.parametrize("without", ["", "kernels"])
def test_features_are_the_mean_of_the_last_hidden_states(
    encoder: Encoder, without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTUNE_DISABLE", without)
    data = make_dataset(20, 0).encoded
    encoder.train()
    features = mean_features(encoder, data, precision=torch.float32)
    assert encoder.training
    encoder.eval()
    for row in range(20):
        ids = torch.from_numpy(data.take([row]).token_ids.astype(np.int64))[None]
        given = {"input_word_ids": ids, "input_mask": torch.ones_like(ids), "input_type_ids": torch.zeros_like(ids)}
        expected = encoder(given).last_hidden_state[0].mean(dim=0).detach().numpy()
        np.testing.assert_allclose(features[row], expected, atol=2e-5)


def test_of_several_windows_the_first_is_read(encoder: Encoder) -> None:
    plain = make_dataset(6, 0).encoded
    windows = EncodedExamples(
        plain.token_ids, plain.offsets, plain.first_lengths, np.zeros(3, bool), 32, np.array([0, 2, 3, 6])
    )
    features = mean_features(encoder, windows, precision=torch.float32)
    np.testing.assert_allclose(features, mean_features(encoder, plain, precision=torch.float32)[[0, 2, 3]], atol=1e-5)


def test_a_told_class_is_found_and_the_same_again(encoder: Encoder) -> None:
    train, validation = make_dataset(400, 1), make_dataset(150, 2)
    torch.manual_seed(0)
    found, again = probed(encoder, train, validation), probed(encoder, train, validation)
    assert torch.initial_seed() == 0
    assert found is not None
    assert again is not None
    assert found.saved() == again.saved()
    assert found.metrics["accuracy"] > 0.7
    assert (found.rows_trained, len(found.scored)) == (200, 100)
    np.testing.assert_array_equal(found.targets, validation.targets[found.scored])  # type: ignore[index]


@pytest.mark.parametrize("kind", [TaskKind.MULTI_LABEL, TaskKind.REGRESSION])
def test_other_kinds_are_scored_by_their_metrics(encoder: Encoder, kind: TaskKind) -> None:
    train, validation = make_dataset(300, 1), make_dataset(100, 2)
    metric = {TaskKind.MULTI_LABEL: "f1_micro", TaskKind.REGRESSION: "pearson"}[kind]
    outputs = 2 if kind == TaskKind.MULTI_LABEL else 1

    def turned(data: Dataset) -> Dataset:
        assert data.targets is not None
        one = data.targets
        return with_targets(data, np.stack([one, 1 - one], axis=1) if outputs == 2 else one.astype(np.float32))

    found = probed(encoder, turned(train), turned(validation), kind=kind, metrics=(metric,), num_labels=outputs)
    assert found is not None
    assert found.metrics[metric] > 0.4
    assert found.decisions.shape == found.targets.shape


def test_one_class_alone_has_nothing_to_fit(encoder: Encoder) -> None:
    train = make_dataset(50, 1)
    assert probed(encoder, with_targets(train, np.zeros(50, np.int64)), make_dataset(50, 2)) is None


@pytest.mark.parametrize("rows", [2, 9])
def test_a_handful_of_rows_is_too_few_to_fit(encoder: Encoder, rows: int) -> None:
    train = with_targets(make_dataset(rows, 1), np.arange(rows) % 2)
    assert probed(encoder, train, make_dataset(50, 2)) is None


def test_hidden_states_that_are_not_finite_are_left_to_training(encoder: Encoder) -> None:
    with torch.no_grad():
        encoder.layers[0].feed_forward.output.weight.fill_(float("inf"))
    assert probed(encoder, make_dataset(50, 1), make_dataset(50, 2)) is None


def test_classes_keep_their_shares_where_rows_are_left_out(encoder: Encoder) -> None:
    validation = make_dataset(400, 2)
    rare = with_targets(validation, (np.arange(400) >= 360).astype(np.int64))
    found = probed(encoder, make_dataset(400, 1), rare)
    assert found is not None
    assert (len(found.targets), found.targets.sum()) == (100, 10)


def test_the_rows_cost_five_per_cent_of_the_run_but_where_it_is_short() -> None:
    assert rows_for_probe(100, 50, 1) == (100, 50)
    assert rows_for_probe(1000, 200, 3) == (320, 160)
    assert rows_for_probe(3668, 408, 5) == (1000, 408)
    assert rows_for_probe(100_000, 5000, 1) == (1000, 500)
