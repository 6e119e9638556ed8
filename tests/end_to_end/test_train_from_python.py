"""`bertune.train` does what `bertune train` does, with data in memory as with files."""

import csv
import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from tests.end_to_end.world import Run as Command

import bertune
from bertune.api.train_settings import TrainSettings, setting_names
from bertune.errors import ConfigError, DataError
from bertune.experiments.fold_settings import FoldSettings
from bertune.experiments.seed_settings import SeedSettings
from bertune.training.checkpoint_settings import CheckpointSettings
from bertune.training.config import TrainingConfig
from bertune.training.run_settings import RunSettings

SETTINGS: dict[str, Any] = {"epochs": 2, "learning_rate": 3e-3, "batch_size": 16, "max_length": 32}
FLAGS = ["--epochs", "2", "--learning-rate", "3e-3", "--batch-size", "16", "--max-length", "32"]


def columns_of(path: Path) -> dict[str, list[str]]:
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {name: [row[name] for row in rows] for name in rows[0]}


def as_pandas(path: Path) -> Any:
    return pytest.importorskip("pandas").read_csv(path)


def as_polars(path: Path) -> Any:
    return pytest.importorskip("polars").read_csv(path)


def as_dataset(path: Path) -> Any:
    return pytest.importorskip("datasets").Dataset.from_dict(columns_of(path))


@pytest.fixture(scope="module")
def of_command(run: Command, model: Path, tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command line makes of one table, of which it holds rows back."""
    out = tmp_path_factory.mktemp("command") / "run"
    data = ["--data", str(tables / "train.csv"), "--test", str(tables / "test.csv")]
    done = run("train", *data, "--text-a", "first", "--label", "mood", "--model", str(model), *FLAGS, "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out


def scores_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "scores.json").read_text()))


def assert_same_run(made: bertune.Run, command: Path) -> None:
    """The same weights to the bit, the same scores, the same files."""
    assert {path.name for path in made.folder.iterdir()} == {path.name for path in command.iterdir()}
    for name in ("model.safetensors", "bertune.json", "config.json", "vocab.txt"):
        assert (made.folder / "model" / name).read_bytes() == (command / "model" / name).read_bytes(), name
    assert scores_of(made.folder) == scores_of(command)
    assert made.scores is not None
    assert made.scores.values == {
        name: metric["value"] for name, metric in scores_of(command)["validation"]["metrics"].items()
    }
    one, other = (tomllib.loads((folder / "run.toml").read_text())["train"] for folder in (made.folder, command))
    told = {"data", "out", "test", "validation"}
    assert {name: one[name] for name in one if name not in told} == {
        name: other[name] for name in other if name not in told
    }


FORMS: dict[str, Callable[[Path], Any]] = {
    "pandas": as_pandas,
    "polars": as_polars,
    "datasets": as_dataset,
    "dict": columns_of,
    "path": lambda path: path,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_rows_gives_the_run_of_the_command(
    form: str, of_command: Path, model: Path, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    take = FORMS[form]
    made = bertune.train(
        take(tables / "train.csv"),
        test=take(tables / "test.csv"),
        model=model,
        text_a="first",
        label="mood",
        out=tmp_path / "run",
        quiet=True,
        **SETTINGS,
    )
    assert_same_run(made, of_command)
    assert made.report == made.folder / "report.html"
    assert made.also["test"].rows == 80


def test_texts_with_labels_need_no_names(of_command: Path, model: Path, tables: Path, tmp_path: Path) -> None:
    columns = columns_of(tables / "train.csv")
    made = bertune.train(
        (np.array(columns["first"]), columns["mood"]), model=model, out=tmp_path / "run", quiet=True, **SETTINGS
    )
    weights = "model/model.safetensors"
    assert (made.folder / weights).read_bytes() == (of_command / weights).read_bytes()
    assert made.model.predict("the film was lovely")[0].label in ("up", "down")


def test_pairs_and_splits_give_the_run_of_a_folder(run: Command, model: Path, tables: Path, tmp_path: Path) -> None:
    named = ["--text-a", "first", "--text-b", "second", "--label", "mood", "--model", str(model), *FLAGS]
    done = run("train", "--data", str(tables / "pairs"), *named, "--out", str(tmp_path / "command"))
    assert done.returncode == 0, done.stderr
    splits = {name: columns_of(tables / "pairs" / f"{name}.csv") for name in ("train", "validation")}
    for number, data in enumerate((splits, datasets_of(splits), pairs_of(splits))):
        columns = {} if number == 2 else {"text_a": "first", "text_b": "second", "label": "mood"}
        made = bertune.train(data, model=model, out=tmp_path / f"run{number}", quiet=True, **columns, **SETTINGS)
        weights = "model/model.safetensors"
        assert (made.folder / weights).read_bytes() == (tmp_path / "command" / weights).read_bytes()
        # The digest of the model folder counts the names of the columns, which texts with labels do not have.
        told = {"model"} if number == 2 else set()
        one, other = scores_of(made.folder), scores_of(tmp_path / "command")
        assert {name: one[name] for name in one.keys() - told} == {name: other[name] for name in other.keys() - told}


def datasets_of(splits: dict[str, dict[str, list[str]]]) -> Any:
    datasets = pytest.importorskip("datasets")
    return datasets.DatasetDict({name: datasets.Dataset.from_dict(columns) for name, columns in splits.items()})


def pairs_of(splits: dict[str, dict[str, list[str]]]) -> dict[str, Any]:
    return {
        name: (list(zip(columns["first"], columns["second"], strict=True)), columns["mood"])
        for name, columns in splits.items()
    }


def test_several_seeds_give_the_study_of_the_command(run: Command, model: Path, tables: Path, tmp_path: Path) -> None:
    flags = ["--text-a", "first", "--label", "mood", "--model", str(model), *FLAGS, "--seeds", "2"]
    done = run("train", "--data", str(tables), *flags, "--out", str(tmp_path / "command"))
    assert done.returncode == 0, done.stderr
    made = bertune.train(
        {name: as_pandas(tables / f"{name}.csv") for name in ("train", "validation")},
        model=model,
        text_a="first",
        label="mood",
        out=tmp_path / "run",
        quiet=True,
        seeds=2,
        **SETTINGS,
    )
    weights = "model/model.safetensors"
    assert (made.folder / weights).read_bytes() == (tmp_path / "command" / weights).read_bytes()
    assert made.seeds is not None
    assert len(made.seeds.results) == 2
    assert made.history is None
    kept = scores_of(tmp_path / "command")["validation"]["metrics"]["accuracy"]["value"]
    assert made.scores is not None
    assert made.scores.value("accuracy") == kept
    assert repr(made).startswith("Run(2 seeds; validation accuracy ")


def test_a_glue_task_knows_the_columns_of_a_frame(model: Path, tmp_path: Path) -> None:
    columns = {
        "sentence": ["good film", "bad plot", "nice story", "sad music"] * 15,
        "label": [1, 0] * 30,
        "idx": list(range(60)),
    }
    made = bertune.train(columns, task="sst2", model=model, out=tmp_path / "run", quiet=True, epochs=1)
    assert made.model.labels == ("negative", "positive")


def test_without_a_folder_the_run_is_kept_among_temporary_files(
    model: Path, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = bertune.train(
        as_pandas(tables / "train.csv"), model=model, text_a="first", label="mood", quiet=True, **SETTINGS
    )
    assert capsys.readouterr() == ("", "")
    assert made.folder.is_relative_to(tmp_path)
    folder, shown, html = made.folder, repr(made), made._repr_html_()
    assert re.fullmatch(r"Run\(epoch [12] of 2; validation accuracy .* %; .*\)", shown)
    assert "<table>" in html
    del made
    assert (folder / "report.html").is_file()
    before = list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="no column 'frist'"):
        bertune.train(as_pandas(tables / "train.csv"), model=model, text_a="frist", label="mood", quiet=True)
    assert list(tmp_path.iterdir()) == before, "nothing is left of a run that has not begun"


def test_what_is_found_and_the_progress_are_told_as_on_the_command_line(
    model: Path, tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {name: as_pandas(tables / f"{name}.csv") for name in ("train", "validation", "test")}
    made = bertune.train(data, model=model, text_a="first", label="mood", out=tmp_path / "run", **SETTINGS)
    out, err = capsys.readouterr()
    assert out == ""
    assert "the test split is not read" in err
    assert "training 40 steps" in err
    assert "epoch 2/2" in err
    assert made.also == {}


def test_the_settings_are_those_of_the_command_line() -> None:
    groups = (RunSettings, TrainingConfig, SeedSettings, FoldSettings, CheckpointSettings)
    own = {field.name for group in groups for field in fields(group)} - {"data", "out"}
    assert own == set(setting_names())
    named = {"model", "text_a", "text_b", "label", "validation", "test"}
    assert set(get_type_hints(TrainSettings)) | named == own
    assert not set(get_type_hints(TrainSettings)) & named


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"lr": 1e-3}, "no setting 'lr'", "did you mean 'learning_rate'?"),
        ({"epoch": 3}, "no setting 'epoch'", "did you mean 'epochs'?"),
        ({"xyzzy": 3}, "no setting 'xyzzy'", "bertune train --help-all"),
        ({"epochs": "3"}, "epochs is '3', expected a whole number", None),
        ({"kind": "classify"}, "kind is 'classify'", None),
        ({"delimiter": ";"}, "DataFrame in memory is no file, so delimiter has no effect", "leave delimiter out"),
        ({"text_a": "frist"}, "train (DataFrame) has no column 'frist'", "did you mean 'first'?"),
        ({"validation": [1, 2]}, "validation is a list of 2, which cannot be trained on", "data frame"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    settings: dict[str, Any], message: str, hint: str | None, tables: Path, model: Path, tmp_path: Path
) -> None:
    given = {"text_a": "first", "label": "mood", "model": model, "quiet": True} | settings
    with pytest.raises(ConfigError) as caught:
        bertune.train(as_pandas(tables / "train.csv"), out=tmp_path / "run", **given)
    assert message in caught.value.message
    assert hint is None or hint in str(caught.value.hint)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (["a", "b"], "data is a list of 2"),
        ({"validation": {"text": ["a"], "label": ["b"]}}, "data has no training data, only 'validation'"),
        ({"text": ["a", "b"], "label": ["x"]}, "data: the columns differ in length: 'text' has 2, 'label' has 1"),
        ({"text": ["a", 3], "label": ["x", "y"]}, "data: the column 'text' cannot be read through Arrow"),
        ({"text": ["a", None], "label": ["x", "y"]}, "train (Table):2: 'text' is missing (null), expected a text"),
        ({"train": {"text": ["a"]}, "dev": ("a", "b"), "val": ("a", "b")}, "'dev'"),
        (([("a", "b"), "c"], [0, 1]), "data[0][1] is the text 'c', expected a pair of texts"),
    ],
)
def test_data_that_cannot_be_trained_on_are_refused(data: Any, message: str, model: Path, tmp_path: Path) -> None:
    columns = {} if isinstance(data, tuple) else {"text_a": "text", "label": "label"}
    with pytest.raises((ConfigError, DataError)) as caught:
        bertune.train(data, model=model, out=tmp_path / "run", quiet=True, **columns)
    assert message in caught.value.message


def test_the_settings_of_a_run_in_memory_say_so(model: Path, tables: Path, tmp_path: Path) -> None:
    data = as_pandas(tables / "train.csv")
    named: dict[str, Any] = {"model": model, "text_a": "first", "label": "mood"}
    made = bertune.train(data, out=tmp_path / "run", quiet=True, **named, **SETTINGS)
    assert tomllib.loads((made.folder / "run.toml").read_text())["train"]["data"] == "DataFrame in memory"


def test_without_validation_rows_there_are_no_scores(model: Path, tables: Path, tmp_path: Path) -> None:
    data = as_polars(tables / "train.csv")
    named: dict[str, Any] = {"model": model, "text_a": "first", "label": "mood", "validation": "none"}
    made = bertune.train(data, out=tmp_path / "run", quiet=True, **named, **SETTINGS)
    assert made.scores is None
    assert repr(made) == f"Run(epoch 2 of 2; {tmp_path / 'run'})"
    assert "<table>" in made._repr_html_()


def test_lists_of_labels_and_values_are_learned_from_memory(model: Path, tables: Path, tmp_path: Path) -> None:
    texts = columns_of(tables / "train.csv")["first"]
    tags = [["good"] if "good" in text else ["other", "film"] if "film" in text else [] for text in texts]
    several = bertune.train(
        (texts, tags),
        model=model,
        kind="multi-label",
        allow_no_label=True,
        out=tmp_path / "several",
        quiet=True,
        **SETTINGS,
    )
    assert several.model.labels == ("film", "good", "other")
    assert several.model.predict_proba(texts[:3]).shape == (3, 3)
    values = bertune.train(
        {"text": texts, "length": np.array([len(text) for text in texts])},
        model=model,
        text_a="text",
        label="length",
        kind="regression",
        target_range=[0, 100],
        out=tmp_path / "values",
        quiet=True,
        **SETTINGS,
    )
    assert values.scores is not None
    assert list(values.scores.values) == ["pearson", "spearman"]
    assert 0 <= values.model.predict(texts[0])[0].to_dict()["value"] <= 100


def test_columns_may_be_named_by_their_places(of_command: Path, model: Path, tables: Path, tmp_path: Path) -> None:
    named: dict[str, Any] = {"model": model, "text_a": 1, "label": 2}
    made = bertune.train(as_pandas(tables / "train.csv"), out=tmp_path / "run", quiet=True, **named, **SETTINGS)
    weights = "model/model.safetensors"
    assert (made.folder / weights).read_bytes() == (of_command / weights).read_bytes()
    assert made.model.signature.text_a == "first"


def test_a_table_without_rows_in_memory_says_what_to_do(model: Path, tmp_path: Path) -> None:
    lazy = pytest.importorskip("polars").LazyFrame({"text": ["a"], "label": ["b"]})
    with pytest.raises(ConfigError, match="a LazyFrame holds no rows yet"):
        bertune.train(lazy, model=model, text_a="text", label="label", out=tmp_path / "run", quiet=True)
