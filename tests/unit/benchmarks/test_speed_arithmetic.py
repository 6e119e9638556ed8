"""The arithmetic of the speed benchmarks: operations, ratios, orders, figures."""

import numpy as np
import pytest
from benchmarks.speed.child import worker_environment
from benchmarks.speed.flops import Shape, executed_flops, model_flops
from benchmarks.speed.ratio import common_rounds, ratio_of_medians
from benchmarks.speed.summary import figures, gain_of_settings, gain_of_tricks, ratio_between
from benchmarks.speed.systems import ablated, chosen, with_settings
from benchmarks.speed.targets import TARGETS
from benchmarks.speed.workload import cross_entropy, spread_evenly

MINILM = Shape(layers=6, hidden=384, intermediate=1536, heads=12)


def test_operations_of_one_layer_are_those_counted_by_hand() -> None:
    shape = Shape(layers=1, hidden=2, intermediate=3, heads=1, labels=2)
    # Per token: 4 products with 2x2 and 2 with 2x3 weights, 2 operations a weight; two tokens.
    products = 2 * 2 * (4 * 4 + 2 * 6)
    # Scores and their weighted sum: 2 x 2 of them, 2 wide, 2 operations, twice.
    attention = 2 * (2 * 2 * 2 * 2)
    head = 2 * (2 * 2 + 2 * 2)
    assert model_flops(shape, [2], training=False) == products + attention + head


def test_gates_and_windows_are_counted_by_hand() -> None:
    shape = Shape(layers=3, hidden=2, intermediate=3, heads=1, gated=True, window=2, global_every=3)
    # Three products with 2x3 weights beside the four with 2x2, over five tokens.
    products = 3 * 5 * 2 * (4 * 4 + 3 * 6)
    # One layer in which five tokens meet five, two in which they meet two.
    attention = 2 * (2 * 2 * 5) * (5 + 2 + 2)
    head = 2 * (2 * 2 + 2 * 2)
    assert model_flops(shape, [5], training=False) == products + attention + head


def test_training_is_three_times_the_forward_pass() -> None:
    assert model_flops(MINILM, [53], training=True) == 3 * model_flops(MINILM, [53], training=False)


def test_operations_of_minilm_a_token_are_those_of_the_notes() -> None:
    # 65.3 MFLOP a token at MRPC's lengths, computed from 2 * weights + attention alone.
    assert model_flops(MINILM, [53] * 32, training=True) / (53 * 32) == pytest.approx(65.3e6, rel=0.01)


def test_the_shorter_last_layer_saves_its_share() -> None:
    whole = model_flops(MINILM, [53] * 32, training=True)
    executed = executed_flops(MINILM, [53] * 32, training=True)
    layer = whole / 6
    # Of a last layer only a score and a weighted sum a head remain, and the layer for [CLS]: one token of 53.
    assert (whole - executed) / layer == pytest.approx(1 - 1 / 53, abs=0.01)
    # By the modules its keys and values remain too: 2 of its 12 units of weights.
    modules = executed_flops(MINILM, [53] * 32, training=True, by_kernels=False)
    assert (whole - modules) / layer == pytest.approx(10 / 12, abs=0.04)
    assert executed_flops(MINILM, [53] * 32, training=True, first_only=False) == whole


def test_a_last_layer_for_cls_is_counted_by_hand() -> None:
    shape = Shape(layers=1, hidden=4, intermediate=8, heads=2, labels=2)
    scores_and_sums = 2 * (2 * 4 * 3) * 2  # two of each head, over 3 tokens of 4 numbers
    matrices, head = 2 * (4 * 4 * 4 + 2 * 4 * 8), 2 * (4 * 4 + 4 * 2)
    assert executed_flops(shape, [3], training=False) == scores_and_sums + matrices + head


def test_a_ratio_is_that_of_the_medians() -> None:
    ratio = ratio_of_medians([10, 20, 30, 1000, 25], [5, 5, 5, 1, 5])
    assert ratio.value == 5
    assert ratio.low <= ratio.value <= ratio.high


def test_rounds_that_slow_both_leave_the_interval_narrow() -> None:
    slowdown = np.array([1.0, 0.5, 0.8, 0.6, 0.9])
    ratio = ratio_of_medians(list(40 * slowdown), list(10 * slowdown))
    assert (ratio.low, ratio.high) == (pytest.approx(4), pytest.approx(4))


def test_an_interval_spans_rounds_that_disagree() -> None:
    ratio = ratio_of_medians([10, 20, 10, 20, 15], [10, 10, 10, 10, 10])
    assert ratio.low == 1
    assert ratio.high == 2


def test_rounds_that_do_not_correspond_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rounds beside 1"):
        ratio_of_medians([1, 2], [1])
    assert common_rounds([1, 2, 3], [4, 5]) == ([1, 2], [4, 5])


def test_any_stretch_of_an_even_spread_samples_the_whole_range() -> None:
    order = spread_evenly(114)
    assert sorted(order) == list(range(114))
    means = [order[start : start + 8].mean() for start in range(0, 104, 8)]
    # Stretches of a shuffled order miss the mean by 11.7 on average (one standard deviation), the worst by far more.
    assert max(abs(mean - 56.5) for mean in means) < 10


def test_cross_entropy_of_equal_logits_is_that_of_a_guess() -> None:
    assert cross_entropy(np.zeros((3, 2)), [0, 1, 1]) == pytest.approx(np.log(2))
    assert cross_entropy(np.array([[1000.0, 0.0]]), [0]) == 0


def test_an_unknown_system_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no such system: tensorflow"):
        chosen("train", ["bertune", "tensorflow"])


def test_a_system_without_tricks_says_which() -> None:
    system = chosen("train", ["bertune"])[0]
    first, second = ablated(system, ["first-only", "a+b"])
    assert (first.name, first.without) == ("bertune~first-only", ("first-only",))
    assert (second.name, second.without) == ("bertune~a+b", ("a", "b"))


def test_settings_are_variables_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TOP_PAD_", "3")
    system = with_settings(chosen("train", ["bertune"])[0], "OMP_WAIT_POLICY=ACTIVE A=b=c")
    environment = worker_environment(system, threads=2)
    assert (environment["OMP_WAIT_POLICY"], environment["A"]) == ("ACTIVE", "b=c")
    assert "MALLOC_TOP_PAD_" not in environment
    with pytest.raises(ValueError, match="not NAME=VALUE: A=1 B"):
        with_settings(system, "A=1 B")


def entry(name: str, seconds: list[float], **about: object) -> dict[str, object]:
    rounds = [
        {"seconds": value, "examples": 64, "tokens": 6400, "peak_rss_bytes": 2**20 * len(name)} for value in seconds
    ]
    return {"name": name, "about": {"start_seconds": 1.0, **about}, "rounds": rounds}


@pytest.fixture
def result() -> dict[str, object]:
    return {
        "what": "train",
        "date": "2026-11-27",
        "workload": {
            "model": "minilm",
            "layers": 6,
            "hidden": 384,
            "intermediate": 1536,
            "heads": 12,
            "examples": 640,
            "train_lengths": {"100": 640},
        },
        "gemm": {"rounds": [{"rates": {"bf16": 1e12, "fp32": 1e11, "fp32_onednn": 2e11}}] * 3},
        "systems": [
            entry("bertune", [1.0, 1.0, 2.0], precision="bf16"),
            entry("transformers", [8.0, 8.0, 8.0], precision="fp32"),
            entry("original", []),
        ],
    }


def test_figures_of_a_system_follow_from_its_rounds(result: dict[str, object]) -> None:
    values = figures(result["systems"][0], result)
    assert values["examples_per_second"] == 64
    assert values["three_epochs_seconds"] == 30
    assert values["model_share"] == pytest.approx(model_flops(MINILM, [100] * 64, training=True) / 1e12)
    assert values["executed_share"] < values["model_share"]
    # Before that day the last layer had keys and values for every token.
    earlier = figures(result["systems"][0], result | {"date": "2026-11-26"})
    assert values["executed_share"] < earlier["executed_share"] < values["model_share"]


def test_fp32_is_held_to_the_faster_of_its_products(result: dict[str, object]) -> None:
    values = figures(result["systems"][1], result)
    assert values["model_share"] == pytest.approx(model_flops(MINILM, [100] * 64, training=True) / 8 / 2e11)


def test_settings_are_measured_beside_the_same_system_without(result: dict[str, object]) -> None:
    result["systems"] = [
        entry("bertune", [1.0, 1.0, 1.0]),
        entry("bertune~kernels", [2.0, 2.0, 2.0]),
        entry("bertune@A=1 B=2", [0.5, 0.5, 0.5], precision="bf16"),
        entry("bertune~kernels@A=1 B=2", [1.6, 1.6, 1.6]),
    ]
    gains = {name: gain.value for name, gain in gain_of_settings(result).items()}
    assert gains == pytest.approx({"bertune@A=1 B=2": 2, "bertune~kernels@A=1 B=2": 1.25})
    assert {name: gain.value for name, gain in gain_of_tricks(result).items()} == pytest.approx({"kernels": 2})
    assert "executed_share" in figures(result["systems"][2], result)


def test_a_trick_beside_another_is_measured_without_that_other(result: dict[str, object]) -> None:
    result["systems"] = [
        entry("bertune", [1.0, 1.0, 1.0]),
        entry("bertune~kernels", [2.0, 2.0, 2.0]),
        entry("bertune~kernels+row-rounding", [3.0, 3.0, 3.0]),
        entry("bertune~first-only+row-rounding", [4.0, 4.0, 4.0]),
    ]
    assert {name: gain.value for name, gain in gain_of_tricks(result).items()} == pytest.approx(
        {
            "kernels": 2,
            "kernels+row-rounding": 3,
            "row-rounding, already without kernels": 1.5,
            "first-only+row-rounding": 4,
        }
    )


def test_targets_are_read_from_rounds_and_absent_systems_reach_nothing(result: dict[str, object]) -> None:
    reached = {target.title: target.read(result) for target in TARGETS if target.source == "speed-train-minilm"}
    assert ratio_between(result, "bertune", "original") is None
    assert reached["MiniLM-L6 on MRPC, bf16, against tf-models-official"] is None
    defaults = reached["MiniLM-L6 on MRPC, bf16, against transformers Trainer, defaults"]
    assert defaults is not None
    assert defaults.is_enough
    assert defaults.text.startswith("8.00x")
