"""A study of seeds: what is kept, what is resumed, what a diverged seed does."""

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.unit.experiments.conftest import Train

from bertune.checkpoints.model_folder import load
from bertune.cli.inspect_model import inspect_run
from bertune.data.examples import Columns
from bertune.data.sources import read_examples
from bertune.errors import ConfigError, DivergedError
from bertune.evaluation.evaluate_model import evaluate
from bertune.evaluation.scores import Scores
from bertune.experiments import seed_run, study
from bertune.experiments.soup import Average
from bertune.experiments.study_table import SeedResult
from bertune.experiments.summary import Summary
from bertune.models.classifier import Classifier
from bertune.training.prepare import PreparedRun
from bertune.training.run import FinishedRun, execute


class Counting:
    """Stands in for `execute`: counts the seeds, and lets some of them diverge or be interrupted."""

    def __init__(self, diverging: tuple[int, ...] = (), interrupted: int | None = None) -> None:
        self.seeds: list[int] = []
        self.diverging, self.interrupted = diverging, interrupted

    def __call__(self, run: PreparedRun, *, callback: object = None) -> FinishedRun:
        self.seeds.append(run.config.seed)
        if run.config.seed == self.interrupted:
            raise KeyboardInterrupt
        if run.config.seed in self.diverging:
            raise DivergedError("training diverged: the loss at step 3 is nan")
        return execute(run)


def instead(patch: pytest.MonkeyPatch, **settings: object) -> Counting:
    counting = Counting(**settings)
    patch.setattr(seed_run, "execute", counting)
    return counting


def table(tmp_path: Path) -> dict[str, object]:
    values: dict[str, object] = json.loads((tmp_path / "study" / "seeds.json").read_text())
    return values


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def test_the_best_seeds_model_is_the_studys_and_scores_what_is_said(train: Train, tables: Path, tmp_path: Path) -> None:
    finished = train(3)
    study = tmp_path / "study"
    best = max(finished.summary.results, key=lambda result: (result.chosen_value, -result.loss))
    assert finished.summary.best == best.seed
    assert len({weights(study / f"seed-{seed}") for seed in (1, 2, 3)}) == 3
    assert weights(study) == weights(study / f"seed-{best.seed}")
    scores, _ = evaluate(
        load(study / "model"), read_examples(tables / "validation.csv", Columns("first", None, "mood"))
    )
    assert scores.values == best.metrics
    assert json.loads((study / "scores.json").read_text())["seed"] == best.seed


def test_a_diverged_seed_is_named_and_stops_no_other(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead(monkeypatch, diverging=(2,))
    summary = train(3).summary
    assert summary.diverged == (2,)
    assert [result.status for result in summary.results] == ["finished", "diverged", "finished"]
    assert summary.results[1].reason == "the loss at step 3 is nan"
    assert (tmp_path / "study" / "model").is_dir()
    again = instead(monkeypatch)
    assert train(3).summary.diverged == (2,)  # it would again
    assert again.seeds == []


def test_where_all_diverge_the_study_does(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, diverging=(1, 2))
    with pytest.raises(DivergedError, match="all 2 seeds diverged; seed 1: the loss at step 3 is nan"):
        train(2)
    assert not (tmp_path / "study" / "model").exists()


def test_an_interrupted_study_goes_on_after_the_seeds_that_are_done(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tmp_path / "study"
    instead(monkeypatch, interrupted=3)
    with pytest.raises(KeyboardInterrupt):
        train(3)
    assert [result["seed"] for result in table(tmp_path)["results"]] == [1, 2]  # type: ignore[attr-defined]
    second = weights(study / "seed-2")
    counting = instead(monkeypatch)
    finished = train(3)
    assert counting.seeds == [3]
    assert weights(study / "seed-2") == second
    assert len(finished.summary.results) == 3
    told: list[str] = []
    more = instead(monkeypatch)
    assert [result.seed for result in train(4, say=told.append).summary.results] == [1, 2, 3, 4]
    assert more.seeds == [4]
    assert f"resuming the study in {study}: seeds 1, 2, 3 are done" in told


def test_an_earlier_study_stays_until_the_one_that_replaces_it_has_ended(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(1)
    before = weights(tmp_path / "study")
    instead(monkeypatch, interrupted=2)
    with pytest.raises(KeyboardInterrupt) as raised:
        train(2, overwrite=True, batch_size=8)
    assert weights(tmp_path / "study") == before
    unfinished = tmp_path / "study.unfinished"
    assert [result["seed"] for result in json.loads((unfinished / "seeds.json").read_text())["results"]] == [1]
    assert raised.value.__notes__ == [
        f"the earlier run is back in {tmp_path / 'study'}; this one, which did not end, is in {unfinished}",
        f"the same command, with --out {unfinished} and without --overwrite, resumes; seeds that are done: 1",
    ]


def test_a_seed_whose_model_is_gone_is_trained_again(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(2)
    before = weights(tmp_path / "study" / "seed-2")
    (tmp_path / "study" / "seed-2" / "model" / "bertune.json").unlink()
    counting = instead(monkeypatch)
    train(2)
    assert counting.seeds == [2]
    assert weights(tmp_path / "study" / "seed-2") == before


def test_other_settings_and_other_data_are_refused_until_told_to_overwrite(
    train: Train, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(2)
    with pytest.raises(ConfigError, match=r"holds a study with another batch-size: 16 then, 8 now"):
        train(2, batch_size=8)
    text = (tables / "train.csv").read_text()
    try:
        (tables / "train.csv").write_text(text.replace("good", "nice"))
        with pytest.raises(ConfigError, match="the files have changed since"):
            train(2)
    finally:
        (tables / "train.csv").write_text(text)
    counting = instead(monkeypatch)
    train(1, batch_size=8, overwrite=True)
    assert counting.seeds == [1]
    assert not (tmp_path / "study" / "seed-2").exists()


def test_an_overwritten_study_comes_back_when_no_seed_was_done(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(2)
    before = table(tmp_path)
    instead(monkeypatch, interrupted=7)
    with pytest.raises(KeyboardInterrupt):
        train("7,8", overwrite=True)
    assert table(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_the_settings_of_the_study_are_written_resolved(train: Train, tmp_path: Path) -> None:
    train("5,2", layer_decay=0.9)
    settings = tomllib.loads((tmp_path / "study" / "run.toml").read_text())["train"]
    assert (settings["seeds"], settings["parallel-seeds"], settings["layer-decay"]) == ("5,2", 1, 0.9)
    assert "seed" not in settings
    assert tomllib.loads((tmp_path / "study" / "seed-5" / "run.toml").read_text())["train"]["seed"] == 5


def test_the_settings_of_a_study_that_grew_name_every_seed_of_its_result(train: Train, tmp_path: Path) -> None:
    train(2)
    finished = train("5,2")
    assert [result.seed for result in finished.summary.results] == [1, 2, 5]
    settings = tomllib.loads((tmp_path / "study" / "run.toml").read_text())["train"]
    assert settings["seeds"] == "1,2,5", "the command that repeats the study must train what it is made of"
    assert "seed" not in settings


def test_seeds_that_are_named_leave_no_first_seed_to_set(train: Train) -> None:
    with pytest.raises(ConfigError, match="so --seed has no effect"):
        train("5,2", seed=3)


def test_the_average_is_kept_only_where_validation_says_so(train: Train, tables: Path, tmp_path: Path) -> None:
    finished = train(3, average=True, epochs=4)
    best = next(result for result in finished.summary.results if result.seed == finished.summary.best)
    sound = [result for result in finished.summary.results if not result.collapsed]
    assert len(sound) > 1, "the test has nothing to average"
    assert finished.averages
    better = max(average.scores.chosen_value for average in finished.averages)
    assert (finished.kept is not None) == (better > best.chosen_value)
    scores, _ = evaluate(
        load(tmp_path / "study" / "model"), read_examples(tables / "validation.csv", Columns("first", None, "mood"))
    )
    assert scores.chosen_value == (better if finished.kept else best.chosen_value)
    told = table(tmp_path)["averages"]
    assert [entry["seeds"] for entry in told] == [list(average.seeds) for average in finished.averages]  # type: ignore[attr-defined]


def test_only_seeds_that_neither_collapsed_nor_diverged_are_averaged(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    instead(monkeypatch, diverging=(1, 3))
    finished = train(3, average=True, say=told.append)
    assert (finished.averages, finished.kept, finished.summary.best) == ((), None, 2)
    assert "nothing to average: fewer than two seeds neither collapsed nor diverged" in told
    assert not any("resuming" in line for line in told)
    # A collapsed seed has weights, and is left out all the same.
    real, averaged = study.averages, []  # type: ignore[attr-defined]
    monkeypatch.setattr(study, "averages", lambda models, judge: averaged.append(models) or real(models, judge))
    instead(monkeypatch)
    judged = study.summarize  # type: ignore[attr-defined]

    def summarized(results: list[SeedResult]) -> Summary:
        return judged([replace(result, collapsed=result.seed == 2) for result in results])

    monkeypatch.setattr(study, "summarize", summarized)
    train(3, average=True, overwrite=True, epochs=2)
    ((models,),) = (averaged,)
    assert sorted(seed for seed, _ in models) == [1, 3]


def test_an_average_that_is_better_becomes_the_studys_model(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last model stands for an average, so that it can be told from that of the best seed."""

    def pretended(
        models: list[tuple[int, Path]], score_of: Callable[[Classifier], Scores]
    ) -> tuple[list[Average], Classifier]:
        classifier = load(models[-1][1]).classifier
        return [Average("mean of all", (1, 2, 3), score_of(classifier))], classifier

    monkeypatch.setattr(study, "averages", pretended)
    finished = train(3, average=True, epochs=4)
    ordered = sorted(finished.summary.results, key=lambda result: (result.chosen_value, -result.loss))
    assert ordered[0].seed != finished.summary.best
    assert weights(tmp_path / "study") == weights(tmp_path / "study" / f"seed-{ordered[0].seed}")
    assert table(tmp_path)["model"] == {"seeds": [1, 2, 3], "recipe": "mean of all"}
    scores = json.loads((tmp_path / "study" / "scores.json").read_text())
    assert (scores["average"], scores["validation"]["metrics"]["accuracy"]["value"]) == (
        "mean of all",
        ordered[0].metrics["accuracy"],
    )
    lines = inspect_run(tmp_path / "study").lines
    assert any(line.startswith("validation, mean of all of seeds 1, 2, 3: accuracy") for line in lines)


@pytest.mark.parametrize(
    ("wanted", "threads", "device", "expected"),
    [
        (None, 1, "cpu", (1, 1)),
        (None, 3, "cpu", (1, 3)),
        (None, 4, "cpu", (2, 2)),
        (None, 16, "cpu", (2, 8)),
        (None, 16, "cuda", (1, 16)),
        (3, 16, "cpu", (3, 5)),
        (8, 16, "cpu", (5, 3)),
    ],
)
def test_seeds_share_the_threads(
    wanted: int | None, threads: int, device: str, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert study._shares(wanted, 5, device) == expected
