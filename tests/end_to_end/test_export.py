"""`bertune export` in a fresh process, for the format that needs no TensorFlow."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
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
    proved, probabilities, *speeds = done.stdout.splitlines()
    assert proved.startswith(f"{out}: tf_checkpoint, equal on 1,000 rows, 80 of them texts: logits ")
    temperature = json.loads((trained / "model" / "bertune.json").read_text())["temperature"]
    assert probabilities == f"probabilities: calibrated, temperature {temperature:.4g} is folded into the head"
    assert re.match(r" +size +one row +32 rows at a time$", speeds[0])
    assert [re.sub(r"[\d,]+(\.\d+)?", "N", " ".join(line.split())) for line in speeds[1:]] == [
        "export N MB N ms N rows/s",
        "model N MB N ms N rows/s",
    ]
    assert "the export answers them in a fresh process" in done.stderr
    assert "warning: this model computes the exact gelu" in done.stderr
    assert not any(line.startswith("error") for line in done.stderr.splitlines())
    again = run("export", str(trained), str(out), *CHECKPOINT, "--json", "--quiet")
    assert again.returncode == 0, again.stderr
    values = json.loads(again.stdout)
    assert values.pop("out") == str(out)
    assert values.pop("proof") == json.loads((out / "proof.json").read_text())
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
    proved, quantized, *_ = done.stdout.splitlines()
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
    verified = run("verify", str(out), "--json", "--quiet")
    assert verified.returncode == 0, verified.stderr
    found = json.loads(verified.stdout)
    assert (found["format"], found["is_int8"], found["rows"], found["warnings"]) == ("onnx", True, kept, [])
    assert found["equal_labels"] >= 0.99


def test_an_export_is_verified_in_seconds_on_the_machine_at_hand(
    run: Run, fresh_run: Run, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run("export", str(trained), str(out), "--format", "onnx").returncode == 0
    began = time.monotonic()
    done = fresh_run("verify", str(out), PYTHONPROFILEIMPORTTIME="1")
    assert time.monotonic() - began < 10
    assert done.returncode == 0, done.stderr
    assert not re.search(r"\| +(torch|transformers|safetensors|matplotlib)$", done.stderr, re.MULTILINE)
    found, _, speed, processor = done.stdout.splitlines()
    assert re.match(
        rf"{out}: onnx, \d+ stored rows: 100\.0% of the labels are the model's, logits differ by at most \d\.\de-\d\d$",
        found,
    )
    assert re.match(r"here +[\d.]+ MB +[\d.,]+ ms +[\d,]+ rows/s$", speed)
    assert re.match(r"processor: .+, that of the export$", processor)
    model = (out / "model.onnx").read_bytes()
    (out / "model.onnx").write_bytes(model[:1000] + bytes([model[1000] ^ 1]) + model[1001:])
    for words, code, change in (
        ("model.onnx: has changed since the export was proved", 3, (out / "agreement.json").unlink),
        ("no export of bertune (no agreement.json)", 3, lambda: shutil.rmtree(out)),
        ("no such folder", 3, lambda: None),
    ):
        done = run("verify", str(out))
        assert done.returncode == code, done.stderr
        assert words in done.stderr
        assert done.stderr.count("error:") == 1
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
        change()


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
