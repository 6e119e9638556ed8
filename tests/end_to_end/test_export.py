"""`bertune export` in a fresh process, for the format that needs no TensorFlow."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.end_to_end.world import COLUMNS, Run

CHECKPOINT = ["--format", "tf_checkpoint"]


def command(*arguments: str) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "bertune", *arguments], os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def test_an_exported_checkpoint_says_that_it_is_equal_and_is_a_model(
    run: Run, trained: Path, tables: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run("export", str(trained), str(out), *CHECKPOINT, "--data", str(tables))
    assert done.returncode == 0, done.stderr
    # Of a folder, the test split.
    proved, probabilities = done.stdout.splitlines()
    assert proved.startswith(f"{out}: tf_checkpoint, equal on 1,000 rows, 80 of them texts: logits ")
    temperature = json.loads((trained / "model" / "bertune.json").read_text())["temperature"]
    assert probabilities == f"probabilities: calibrated, temperature {temperature:.4g} is folded into the head"
    assert "the export answers them in a fresh process" in done.stderr
    assert "warning: this model computes the exact gelu" in done.stderr
    assert not any(line.startswith("error") for line in done.stderr.splitlines())
    again = run("export", str(trained), str(out), *CHECKPOINT, "--json", "--quiet")
    assert again.returncode == 0, again.stderr
    values = json.loads(again.stdout)
    assert values.pop("out") == str(out)
    assert values == json.loads((out / "agreement.json").read_text())
    assert values["rows"] == 1047
    for verb in (["inspect", str(out)], ["inspect", str(out / "bert_model.ckpt")]):
        assert "39 tensors loaded" in run(*verb).stdout
    fine = run(
        "train", "--data", str(tables), *COLUMNS, "--model", str(out), "--out", str(tmp_path / "run"),
        "--epochs", "1", "--max-length", "32",
    )  # fmt: skip
    assert fine.returncode == 0, fine.stderr


def test_an_onnx_file_in_int8_is_proved_on_the_validation_rows_of_its_run(
    run: Run, trained: Path, tables: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run("export", str(trained), str(out), "--format", "onnx", "--int8")
    assert done.returncode == 0, done.stderr
    proved, quantized, _ = done.stdout.splitlines()
    assert proved.startswith(f"{out}: onnx, equal on 1,047 rows")
    kept = len((trained / "validation.jsonl").read_text().splitlines())
    assert quantized.startswith("int8: ")
    assert f"of {kept} labels as in fp32, accuracy " in quantized
    named = ["--data", str(tables), "--split", "validation", "--json", "--quiet"]
    again = run("export", str(trained), str(out), "--format", "onnx", "--int8", *named)
    assert again.returncode == 0, again.stderr
    values = json.loads(again.stdout)["int8"]
    assert (values["rows"], values["equal"] >= 0.99) == (kept, True)
    assert values["bytes"] == [(out / "model.onnx").stat().st_size, values["bytes"][1]]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["RUN", "OUT"], 2, "--format"),
        (["RUN", "OUT", "--format", "tf_checkpont"], 2, "did you mean 'tf_checkpoint'?"),
        (["NOTHING", "OUT", *CHECKPOINT], 3, "no such folder"),
        (["ENCODER", "OUT", *CHECKPOINT], 3, "no bertune.json"),
        (["RUN", "RUN", *CHECKPOINT], 2, "exists and is not an export of bertune"),
        (["RUN", "OUT", *CHECKPOINT, "--data", "NOTHING"], 2, "does not exist"),
        (["RUN", "OUT", *CHECKPOINT, "--int8"], 2, "tf_checkpoint has no int8"),
        (
            ["RUN", "OUT", *CHECKPOINT, "--inputs", "text"],
            2,
            "an export to tf_checkpoint takes ids of tokens, not texts",
        ),
        (["RUN", "OUT", "--format", "saved_model", "--inputs", "texts"], 2, "--inputs"),
        (["RUN", "OUT", "--format", "onnx", "--label", "mood"], 2, "--label has no effect without --int8 and --data"),
        (["RUN/model", "OUT", "--format", "onnx", "--int8"], 2, "a model without its run"),
        (["RUN", "OUT", *CHECKPOINT, "--text-a", "first"], 2, "--text-a describes data, and no --data are named"),
    ],
)
def test_what_cannot_be_exported_gets_one_error_and_leaves_nothing(
    arguments: list[str], code: int, words: str, run: Run, trained: Path, model: Path, tmp_path: Path
) -> None:
    places = {
        "RUN": trained,
        "OUT": tmp_path / "out",
        "NOTHING": tmp_path / "nothing",
        "ENCODER": model,
        "RUN/model": trained / "model",
    }
    done = run("export", *(str(places.get(argument, argument)) for argument in arguments))
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_the_proof_leaves_nothing(
    sent: signal.Signals, code: int, trained: Path, tmp_path: Path
) -> None:
    arguments, environment = command("export", str(trained), str(tmp_path / "new" / "out"), *CHECKPOINT)
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "fresh process" in line:
            break
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.count("error:") == 1
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_with_code_4_and_leaves_nothing(trained: Path, tmp_path: Path) -> None:
    arguments, environment = command("export", str(trained), str(tmp_path / "out"), *CHECKPOINT)
    # A limit on the size of files is the full disk that a test can have.
    done = subprocess.run(
        arguments,
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert done.returncode == 4, done.stderr
    assert "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []
