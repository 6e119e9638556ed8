"""Training from re-encoded folders is training from the texts."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.end_to_end.world import BAD, GOOD, OTHER, SPECIAL, write_encoder, write_table

from bertune.checkpoints.model_folder import load
from bertune.data.examples import Columns, LabelSet, Task
from bertune.data.row_source import RowSource
from bertune.data.splits import find_splits
from bertune.errors import ConfigError, DataError
from bertune.evaluation.encoded_folder import ReencodedExamples
from bertune.shards.read_records import Records
from bertune.shards.reencode import reencode
from bertune.tokenization.encoded_examples import EncodedExamples
from bertune.tokenization.tokenizer import BertTokenizer
from bertune.training.config import TrainingConfig
from bertune.training.prepare import prepare
from bertune.training.run import FinishedRun, execute
from bertune.training.run_settings import RunSettings

CONFIG = TrainingConfig(recipe="lesson", epochs=2, batch_size=16, learning_rate=3e-3, precision="fp32", seed=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("model"), [*SPECIAL, *GOOD, *BAD, *OTHER])


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    write_table(folder / "train.csv", 96, 1, pairs=True)
    write_table(folder / "validation.csv", 40, 2, pairs=True)
    return folder


COLUMNS = Columns("first", "second", "mood")


def encode(tables: Path, model: Path, out: Path, format: str, *, label: str = "mood", **settings: int) -> Path:
    tokenizer = BertTokenizer.from_directory(model)
    kind = "classification" if label == "mood" else "regression"
    task = Task.for_columns(
        Columns("first", "second", label), kind=kind, labels=LabelSet(("other", "same")) if label == "mood" else None
    )
    for name, split in find_splits(tables, task).items():
        source = RowSource(split, task)
        reencode(source, tokenizer, out / name, **{"format": format, "max_length": 16, "shards": 3, **settings})
    return out


def run(settings: RunSettings) -> FinishedRun:
    return execute(prepare(settings, CONFIG, say=lambda _: None))


@pytest.fixture(scope="module")
def settings(tables: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> RunSettings:
    return RunSettings(
        data=str(tables),
        out=tmp_path_factory.mktemp("runs") / "text",
        model=str(model),
        text_a="first",
        text_b="second",
        label="mood",
        max_length=16,
    )


@pytest.fixture(scope="module")
def from_texts(settings: RunSettings) -> FinishedRun:
    return run(settings)


def without_columns(settings: RunSettings, data: Path, out: Path, validation: Path | None = None) -> RunSettings:
    shown = None if validation is None else str(validation)
    return replace(
        settings, data=str(data), out=out, validation=shown, text_a=None, text_b=None, label=None, kind="classification"
    )


@pytest.mark.parametrize("format", ["tfrecord", "store"])
def test_every_step_has_the_loss_of_training_from_texts(
    tmp_path: Path, tables: Path, model: Path, settings: RunSettings, from_texts: FinishedRun, format: str
) -> None:
    data = encode(tables, model, tmp_path / "encoded", format)
    finished = run(without_columns(settings, data, tmp_path / "run"))
    losses = [step.loss for step in finished.history.steps]
    assert losses == [step.loss for step in from_texts.history.steps]
    assert len(losses) == 12
    assert finished.best.scores.values == from_texts.best.scores.values
    signature = (finished.directory.model / "bertune.json").read_text()
    assert json.loads(signature) == json.loads((from_texts.directory.model / "bertune.json").read_text())
    assert "text-a" in (tmp_path / "run" / "run.toml").read_text()


def test_the_splits_can_be_named_one_by_one(
    tmp_path: Path, tables: Path, model: Path, settings: RunSettings, from_texts: FinishedRun
) -> None:
    data = encode(tables, model, tmp_path / "encoded", "tfrecord")
    named = without_columns(settings, data / "train", tmp_path / "run", data / "validation")
    prepared = prepare(named, CONFIG, say=lambda _: None)
    assert len(prepared.validation) == 40
    assert prepare(replace(named, validation=None), CONFIG, say=lambda _: None).validation is None


def test_targets_of_a_regression_train_the_same(
    tmp_path: Path, tables: Path, model: Path, settings: RunSettings
) -> None:
    data = encode(tables, model, tmp_path / "encoded", "tfrecord", label="id")
    texts = run(replace(settings, label="id", kind="regression", out=tmp_path / "text"))
    records = run(without_columns(settings, data, tmp_path / "records"))
    assert [step.loss for step in records.history.steps] == [step.loss for step in texts.history.steps]


def test_the_positive_label_of_encoded_data_is_the_one_encoded_last(
    tmp_path: Path, tables: Path, model: Path, settings: RunSettings
) -> None:
    data = encode(tables, model, tmp_path / "encoded", "tfrecord")
    named = without_columns(settings, data, tmp_path / "run")
    assert prepare(replace(named, positive="same"), CONFIG, say=lambda _: None).signature.labels == ("other", "same")
    with pytest.raises(ConfigError, match="encoded with the labels other, same; of two the second is the positive"):
        prepare(replace(named, positive="other"), CONFIG, say=lambda _: None)


@pytest.mark.parametrize("format", ["tfrecord", "store"])
def test_a_target_out_of_range_is_refused_as_in_a_table(
    tmp_path: Path, tables: Path, model: Path, settings: RunSettings, format: str
) -> None:
    """Ids run from 0 to 95, those of validation to 39."""
    data = encode(tables, model, tmp_path / "encoded", format, label="id")
    usual = replace(without_columns(settings, data, tmp_path / "run"), kind="regression")
    of_tables = replace(settings, label="id", kind="regression", out=tmp_path / "run")
    for run_settings, where in ((usual, "train: example 93"), (of_tables, "train.csv:95")):
        with pytest.raises(DataError, match=f"{where}: the target is 93, but targets lie between 0 and 92.5"):
            prepare(replace(run_settings, target_range=(0, 92.5)), CONFIG, say=lambda _: None)
    prepare(replace(usual, target_range=(0, 95)), CONFIG, say=lambda _: None)
    # Of validation data the model's own range is asked for.
    finished = run(replace(usual, target_range=(0, 95)))
    loaded = load(finished.directory.model)
    examples = ReencodedExamples.read(data / "validation", loaded)
    assert len(examples.targets_for(loaded.signature)) == 40
    narrow = replace(loaded.signature, target_range=(0.0, 10.0))
    with pytest.raises(DataError, match=r"validation: example 11: the target is 11, but targets lie between 0 and 10"):
        examples.targets_for(narrow)


def test_bounds_of_targets_are_those_of_float32_and_what_is_not_finite_is_refused(tmp_path: Path) -> None:
    encoded = EncodedExamples(np.zeros(3, np.uint16), np.arange(4), np.ones(3, np.int32), np.zeros(3, dtype=bool), 32)
    records = Records(encoded, np.array([0.1, 5.1, 4.0], np.float32))
    assert records.values(tmp_path, (0.1, 5.1)).tolist() == records.targets.tolist()
    for bad in (np.nan, np.inf):
        records = Records(encoded, np.array([0.1, bad, 4.0], np.float32), np.array([7, 8, 9]))
        with pytest.raises(DataError, match=f"example 8: the target is {bad}, but targets are finite numbers"):
            records.values(tmp_path)


def test_folders_that_do_not_fit_the_run_are_refused(
    tmp_path: Path, tables: Path, model: Path, settings: RunSettings
) -> None:
    data = encode(tables, model, tmp_path / "encoded", "tfrecord")
    usual = without_columns(settings, data, tmp_path / "run")
    for changed, reason in [
        (replace(usual, max_length=32), "encoded with max_length 16, the run has 32"),
        (replace(usual, text_a="mood"), "has the text_a 'first', the run 'mood'"),
        (replace(usual, on_bad_row="skip"), "was encoded before, so --on-bad-row has no effect"),
        (replace(usual, task="mrpc"), "has the task None, the run 'mrpc'"),
        (replace(usual, validation=str(tables / "validation.csv")), "was encoded before, .*csv was not"),
        (replace(settings, validation=str(data), out=tmp_path / "run"), "was encoded before, .* was not"),
    ]:
        with pytest.raises(ConfigError, match=reason):
            prepare(changed, CONFIG, say=lambda _: None)
    other = Path(shutil.copytree(model, tmp_path / "model"))
    (other / "vocab.txt").write_text((model / "vocab.txt").read_text().replace("good", "gold"))
    with pytest.raises(ConfigError, match="encoded with another tokenizer"):
        prepare(replace(usual, model=str(other)), CONFIG, say=lambda _: None)
    shutil.rmtree(data / "validation")
    encode(tables, model, tmp_path / "second", "tfrecord", max_length=12)
    shutil.copytree(tmp_path / "second" / "validation", data / "validation")
    with pytest.raises(ConfigError, match="differ in max_length: 12 and 16"):
        prepare(usual, CONFIG, say=lambda _: None)


def test_a_damaged_shard_stops_training_before_it_begins(
    tmp_path: Path, tables: Path, model: Path, settings: RunSettings
) -> None:
    data = encode(tables, model, tmp_path / "encoded", "tfrecord")
    path = data / "train" / "records-00001-of-00003.tfrecord"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"records-00001-of-00003\.tfrecord: corrupted record at 0"):
        prepare(without_columns(settings, data, tmp_path / "run"), CONFIG, say=lambda _: None)
    assert not (tmp_path / "run").exists()
