"""Bad input through the real command line: one clear error, the right exit code, nothing half-written."""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.end_to_end.world import COLUMNS, Run

HEADER = "id,first,mood\n"
ROWS = "1,the film was good,up\n2,the plot was bad,down\n"


@dataclass
class World:
    """What a case may spoil before the command runs."""

    data: Path
    model: Path

    @property
    def train(self) -> Path:
        return self.data / "train.csv"

    @property
    def weights(self) -> Path:
        return self.model / "model.safetensors"


@pytest.fixture
def world(model: Path, tmp_path: Path) -> World:
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "data").mkdir()
    for name in ("train", "validation"):
        (tmp_path / "data" / f"{name}.csv").write_text(HEADER + ROWS)
    return World(tmp_path / "data", tmp_path / "model")


def latin_1(world: World) -> None:
    world.train.write_bytes((HEADER + ROWS).encode() + "3,caf\u00e9,up\n".encode("latin-1"))


def truncate(world: World) -> None:
    content = world.weights.read_bytes()
    world.weights.write_bytes(content[: len(content) // 2])


def only_a_pickle(world: World) -> None:
    world.weights.unlink()
    (world.model / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))


def pickle_in_disguise(world: World) -> None:
    world.weights.write_bytes(pickle.dumps({"weights": list(range(1000))}))


def other_vocabulary(world: World) -> None:
    vocabulary = world.model / "vocab.txt"
    vocabulary.write_text(vocabulary.read_text() + "one\ntwo\n")


def not_finite(world: World) -> None:
    tensors = load_file(world.weights)
    tensors["embeddings.LayerNorm.bias"][3] = float("nan")
    save_file(tensors, world.weights)


def without_a_layer(world: World) -> None:
    tensors = load_file(world.weights)
    save_file({name: tensor for name, tensor in tensors.items() if "layer.1.output" not in name}, world.weights)


def one_layer_too_many(world: World) -> None:
    config = json.loads((world.model / "config.json").read_text())
    (world.model / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))


def other_architecture(world: World) -> None:
    config = json.loads((world.model / "config.json").read_text())
    (world.model / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))


def write_train(text: str) -> Callable[[World], None]:
    return lambda world: world.train.write_text(text) and None


CASES: dict[str, tuple[Callable[[World], object], int, list[str]]] = {
    "a missing file": (lambda w: shutil.rmtree(w.data), 2, ["data"]),
    "an empty file": (write_train(""), 3, ["train.csv", "empty"]),
    "a header alone": (write_train(HEADER), 3, ["train.csv"]),
    "one class only": (write_train(HEADER + "1,a film,up\n2,the plot,up\n"), 3, ["train.csv", "'up'"]),
    "a row with too few cells": (write_train(HEADER + ROWS + "3,the story\n"), 3, ["train.csv:4"]),
    "a row with too many cells": (write_train(HEADER + ROWS + "3,the story,up,why\n"), 3, ["train.csv:4"]),
    "a blank label": (write_train(HEADER + ROWS + "3,the story,\n"), 3, ["train.csv:4"]),
    "an unclosed quote": (write_train(HEADER + ROWS + '3,"the story,up\n'), 3, ["train.csv:4"]),
    "bytes that are not UTF-8": (latin_1, 3, ["train.csv:4", "UTF-8"]),
    "a label not seen in training": (
        lambda w: (w.data / "validation.csv").write_text(HEADER + "1,the film,upp\n"),
        3,
        ["validation.csv:2", "'upp'", "'up'"],
    ),
    "a wrong column name": (write_train("id,frist,mood\n" + ROWS), 2, ["'first'", "'frist'"]),
    "a truncated safetensors file": (truncate, 3, ["model.safetensors", "truncated"]),
    "an empty safetensors file": (lambda w: w.weights.write_bytes(b""), 3, ["model.safetensors"]),
    "a pickle of another program": (only_a_pickle, 3, ["pytorch_model.bin", "torch.save"]),
    "a pickle called safetensors": (pickle_in_disguise, 3, ["model.safetensors", "pickle"]),
    "a vocabulary that does not fit the weights": (other_vocabulary, 3, ["vocab", "27", "25"]),
    "weights that are not finite": (not_finite, 3, ["embeddings.LayerNorm.bias"]),
    "a missing layer": (without_a_layer, 3, ["layers.1.output_norm.weight"]),
    "a layer too many": (one_layer_too_many, 3, ["encoder.layer.1"]),
    "another architecture": (other_architecture, 2, ["gpt2", "model_type"]),
    "no vocabulary": (lambda w: (w.model / "vocab.txt").unlink(), 3, ["vocab.txt"]),
    "a configuration that is no JSON": (lambda w: (w.model / "config.json").write_text("{"), 3, ["config.json"]),
}


def check(stderr: str, returncode: int, expected_code: int, words: list[str]) -> None:
    errors = stderr[stderr.index("error:") :]
    assert returncode == expected_code, stderr
    assert "Traceback" not in stderr
    assert len(errors.strip().splitlines()) <= 7
    for word in words:
        assert word in errors


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.replace(" ", "-"))
def test_training_refuses(case: str, run: Run, world: World, tmp_path: Path) -> None:
    spoil, code, words = CASES[case]
    spoil(world)
    out = tmp_path / "run"
    done = run("train", "--data", str(world.data), *COLUMNS, "--model", str(world.model), "--out", str(out))
    check(done.stderr, done.returncode, code, words)
    assert done.stdout == ""
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["inspect", "x", "--nonsense", "1"], 2, ["--nonsense"]),
        (["train", "--data", "x.csv", "--out", "y"], 2, ["--text-a"]),
        (["train", "--data", "x.csv", "--out", "y", *COLUMNS, "--epochs", "0"], 2, ["epochs"]),
        (["train", "--data", "x.csv", "--out", "y", *COLUMNS, "--epochs", "three"], 2, ["epochs"]),
        (["train", "--data", "x.csv", "--out", "y", *COLUMNS, "--pooling", "max"], 2, ["pooling"]),
        (["train", "--data", "x.csv", "--out", "y", "--task", "mrcp"], 2, ["mrpc"]),
        (["train", "--config", "missing.toml"], 2, ["missing.toml"]),
        (["evaluate", "missing-run", "--data", "x.csv"], 3, ["missing-run"]),
        (["predict", "missing-run"], 3, ["missing-run"]),
        (["inspect", "no-such/model-name"], 3, ["no-such/model-name"]),
        (["inspect", ""], 2, ["an argument is empty"]),
        (["trian"], 2, ["trian"]),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, list) else None,
)
def test_the_command_line_refuses(arguments: list[str], code: int, words: list[str], run: Run) -> None:
    done = run(*arguments)
    check(done.stderr, done.returncode, code, words)


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["predict", "RUN", "--data", "TABLES/test.csv", "--label", "mood"], "--label"),
        (["predict", "RUN", "--split", "test"], "--split"),
        (["predict", "RUN", "--text-a", "first"], "--text-a"),
        (["inspect", "RUN", "--label", "mood"], "--label"),
        (["inspect", "RUN", "--task", "mrpc"], "--task"),
        (["inspect", "MODEL", "--on-bad-row", "skip"], "--on-bad-row"),
        (["inspect", "TABLES/test.csv", "--label", "mood"], "--label"),
        (["inspect", "RUN", "--strict"], "--strict"),
        (["inspect", "MODEL", "--model", "MODEL"], "--model"),
        (["inspect", "TABLES", *COLUMNS, "--max-length", "64"], "--max-length"),
        (["inspect", "TABLES/test.csv", "--kind", "regression"], "--kind"),
        (["inspect", "TABLES", "--task", "mrpc", "--text-a", "first"], "--text-a"),
        (["encode", "--data", "TABLES", "--out", "OUT", "--text-a", "first", "--labels", "up"], "--labels"),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, list) else None,
)
def test_flags_that_would_have_no_effect_are_refused(
    arguments: list[str], flag: str, run: Run, trained: Path, model: Path, tables: Path, tmp_path: Path
) -> None:
    places = {"RUN": trained, "MODEL": model, "TABLES": tables, "OUT": tmp_path / "out"}
    for word, place in places.items():
        arguments = [argument.replace(word, str(place)) for argument in arguments]
    done = run(*arguments, stdin="")
    check(done.stderr, done.returncode, 2, [flag])
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_an_earlier_run_is_kept_unless_overwriting_is_asked_for(
    run: Run, trained: Path, model: Path, tables: Path
) -> None:
    before = (trained / "model" / "model.safetensors").read_bytes()
    arguments = ["--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(trained)]
    done = run("train", *arguments)
    check(done.stderr, done.returncode, 2, ["already holds a run", "--overwrite"])
    assert (trained / "model" / "model.safetensors").read_bytes() == before


def test_overwriting_with_bad_data_keeps_the_earlier_run(run: Run, trained: Path, model: Path, tmp_path: Path) -> None:
    before = (trained / "model" / "model.safetensors").read_bytes()
    (tmp_path / "train.csv").write_text(HEADER)
    arguments = ["--data", str(tmp_path), *COLUMNS, "--model", str(model), "--out", str(trained), "--overwrite"]
    assert run("train", *arguments).returncode == 3
    assert (trained / "model" / "model.safetensors").read_bytes() == before


def test_a_folder_that_is_no_run_is_left_alone(run: Run, world: World, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    out = str(tmp_path / "photos")
    done = run("train", "--data", str(world.data), *COLUMNS, "--model", str(world.model), "--out", out, "--overwrite")
    check(done.stderr, done.returncode, 2, ["not a run"])
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_a_loss_that_is_not_finite_stops_with_exit_code_5(run: Run, world: World, tmp_path: Path) -> None:
    tensors = load_file(world.weights)
    tensors["encoder.layer.0.output.dense.weight"] = torch.full_like(
        tensors["encoder.layer.0.output.dense.weight"], 3e38
    )
    save_file(tensors, world.weights)
    out = tmp_path / "run"
    done = run("train", "--data", str(world.data), *COLUMNS, "--model", str(world.model), "--out", str(out))
    check(done.stderr, done.returncode, 5, ["step 0", "--learning-rate"])
    assert not (out / "model").exists()


def test_evaluation_refuses_a_label_the_model_does_not_know(run: Run, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text(HEADER + "1,the film,sideways\n")
    done = run("evaluate", str(trained), "--data", str(tmp_path / "test.csv"))
    check(done.stderr, done.returncode, 3, ["test.csv:2", "'sideways'", "'down'"])


def test_a_changed_model_file_is_refused(run: Run, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "model", tmp_path / "model")
    content = bytearray((tmp_path / "model" / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (tmp_path / "model" / "model.safetensors").write_bytes(content)
    done = run("predict", str(tmp_path / "model"), stdin="the film\n")
    check(done.stderr, done.returncode, 3, ["model.safetensors", "SHA-256"])


def test_rows_that_cannot_be_read_are_skipped_and_counted_when_asked(run: Run, world: World, tmp_path: Path) -> None:
    world.train.write_text(HEADER + ROWS * 200 + "3,the story\n")
    out = tmp_path / "run"
    done = run(
        *("train", "--data", str(world.data), *COLUMNS, "--model", str(world.model), "--out", str(out)),
        *("--epochs", "1", "--on-bad-row", "skip"),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "data.json").read_text())["reports"]["train"]
    assert (report["rows_in"], report["rows_used"]) == (401, 400)
    assert report["refused"][0]["line"] == 402
    assert "1 refused" in done.stderr


def test_text_from_data_cannot_steer_the_terminal(run: Run, trained: Path) -> None:
    done = run("predict", str(trained), stdin="good \x1b[2J film\n")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
