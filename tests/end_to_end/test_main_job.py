"""The main job through the real command line: train, evaluate, predict, inspect."""

import csv
import json
import tomllib
from pathlib import Path

import pytest
from tests.end_to_end.world import COLUMNS, TRAINING, Run


def test_training_learns_the_task_and_says_so(trained: Path) -> None:
    scores = json.loads((trained / "scores.json").read_text())
    assert scores["validation"]["metrics"]["accuracy"]["value"] > 0.9
    assert "accuracy" in scores["validation"]["verdict"]
    assert "majority" in scores["validation"]["verdict"]


def test_the_run_folder_holds_everything(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    rows = {"validation.jsonl", "dynamics.npz", "doubtful.jsonl", "calibration.json"}
    report = {"metrics.json", "report.html"}
    names.discard("evaluations.json")  # other tests score the same run
    assert names == {"run.toml", "metrics.jsonl", "data.json", "receipt.json", "scores.json", "model"} | rows | report
    model_files = {path.name for path in (trained / "model").iterdir()}
    expected = {"config.json", "model.safetensors", "vocab.txt", "tokenizer.json", "tokenizer_config.json"}
    assert model_files == expected | {"bertune.json", "README.md", "SHA256SUMS"}


def test_the_journal_has_every_step_and_epoch(trained: Path) -> None:
    events = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "step"]
    assert [step["step"] for step in steps] == list(range(80))
    assert all(step["examples"] == 16 for step in steps)
    assert steps[0]["learning_rate"] == 0.0
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [1, 2, 3, 4]
    assert [step["epoch"] for step in steps] == [1] * 20 + [2] * 20 + [3] * 20 + [4] * 20


def test_text_json_and_files_name_the_same_best_epoch(run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(tables), *COLUMNS, "--model", str(model), *TRAINING, "--seed", "3"]
    shown, told = tmp_path / "shown", tmp_path / "told"
    text = run("train", *arguments, "--out", str(shown))
    values = json.loads(run("train", *arguments, "--out", str(told), "--json").stdout)
    epochs = [json.loads(line) for line in (told / "metrics.jsonl").read_text().splitlines()]
    best = [event["epoch"] for event in epochs if event["event"] == "epoch" and event["is_best"]][-1]
    assert 1 <= best <= 4
    assert values["best_epoch"] == best == json.loads((told / "scores.json").read_text())["epoch"]
    assert text.stdout.startswith(f"validation, epoch {best} of 4 (chosen on these rows):")
    assert f"validation, epoch {best}: " in run("inspect", str(shown)).stdout
    assert "epoch 1/4  loss" in text.stderr


def test_what_was_read_is_written_down_and_balances(trained: Path) -> None:
    data = json.loads((trained / "data.json").read_text())
    report = data["reports"]["train"]
    assert report["rows_in"] == report["rows_used"] + len(report["refused"]) == 320
    assert set(data["splits"]) == {"train", "validation"}


def test_the_receipt_lists_every_tensor_of_the_file(trained: Path, model: Path) -> None:
    from safetensors import safe_open

    receipt = json.loads((trained / "receipt.json").read_text())
    with safe_open(model / "model.safetensors", "np") as file:
        in_file = set(file.keys())
    assert {source for tensor in receipt["tensors"] for source in tensor["sources"]} == in_file


def test_run_toml_repeats_the_run_bit_for_bit(run: Run, trained: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    done = run("train", "--config", str(trained / "run.toml"), "--out", str(again))
    assert done.returncode == 0, done.stderr
    for name in ("model.safetensors", "bertune.json", "config.json"):
        assert (again / "model" / name).read_bytes() == (trained / "model" / name).read_bytes()
    settings = tomllib.loads((again / "run.toml").read_text())["train"]
    assert settings.pop("out") == str(again)
    original = tomllib.loads((trained / "run.toml").read_text())["train"]
    original.pop("out")
    assert settings == original


def test_flag_beats_environment_beats_config_beats_default(run: Run, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = run(
        *("train", "--config", str(trained / "run.toml"), "--out", str(out), "--epochs", "1", "--quiet"),
        BERTUNE_TRAIN_EPOCHS="2",
        BERTUNE_TRAIN_SEED="7",
    )
    assert done.returncode == 0, done.stderr
    settings = tomllib.loads((out / "run.toml").read_text())["train"]
    assert (settings["epochs"], settings["seed"]) == (1, 7)  # flag over environment, environment over file
    assert settings["learning-rate"] == 3e-3  # file over default
    assert settings["weight-decay"] == 0.01  # default


def test_evaluate_scores_a_held_out_file(run: Run, trained: Path, tables: Path) -> None:
    done = run("evaluate", str(trained), "--data", str(tables / "test.csv"), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["scores"]["rows"] == 80
    low, value, high = (result["scores"]["metrics"]["accuracy"][key] for key in ("low", "value", "high"))
    assert 0.85 < low <= value <= high <= 1
    assert sum(map(sum, result["scores"]["confusion"])) == 80
    assert result["scores"]["baseline"]["source"] == "training data"


def test_evaluate_of_a_folder_takes_validation_unless_told(run: Run, trained: Path, tables: Path) -> None:
    validation = json.loads(run("evaluate", str(trained), "--data", str(tables), "--json").stdout)
    test = json.loads(run("evaluate", str(trained), "--data", str(tables), "--split", "test", "--json").stdout)
    assert Path(validation["data"]["path"]).name == "validation.csv"
    assert Path(test["data"]["path"]).name == "test.csv"
    at_training = json.loads((trained / "scores.json").read_text())["validation"]
    assert validation["scores"]["confusion"] == at_training["confusion"]


def test_predict_answers_each_row_in_order(run: Run, trained: Path, tables: Path) -> None:
    done = run("predict", str(trained), "--data", str(tables / "test.csv"))
    assert done.returncode == 0, done.stderr
    header, *rows = [line.split("\t") for line in done.stdout.splitlines()]
    answer = ["predicted_label", "probability", "probability_down", "probability_up"]
    assert header == ["row", "line", "first", *answer]
    with (tables / "test.csv").open(newline="") as stream:
        truth = list(csv.DictReader(stream))
    assert [row[2] for row in rows] == [row["first"] for row in truth]
    assert [row[:2] for row in rows] == [[str(number), str(number + 1)] for number in range(1, 81)]
    assert sum(row[3] == expected["mood"] for row, expected in zip(rows, truth, strict=True)) > 70
    assert all(0.5 <= float(row[4]) <= 1 for row in rows)


def test_predict_reads_lines_from_standard_input(run: Run, trained: Path) -> None:
    done = run("predict", str(trained), "--json", stdin="the film was great\nthe plot was awful\n")
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(answer["row"], answer["predicted_label"]) for answer in answers] == [(1, "up"), (2, "down")]
    assert all(abs(sum(answer["probabilities"].values()) - 1) < 1e-9 for answer in answers)


def test_a_pair_model_takes_tab_separated_lines(run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    columns = ["--text-a", "first", "--text-b", "second", "--label", "mood"]
    out = tmp_path / "pairs"
    train = run("train", "--data", str(tables / "pairs"), *columns, "--model", str(model), "--out", str(out), *TRAINING)
    assert train.returncode == 0, train.stderr
    done = run("predict", str(out), stdin="the film was good\tthe film was bad\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split("\t")[:4] == ["row", "first", "second", "predicted_label"]
    wrong = run("evaluate", str(out), "--data", str(tables / "test.csv"), "--text-a", "first", "--label", "mood")
    assert wrong.returncode == 2
    assert "second" in wrong.stderr


def test_regression_trains_scores_and_predicts_values(run: Run, model: Path, tmp_path: Path) -> None:
    for name in ("train", "validation"):
        rows = [f"{text}\t{value}" for text, value in (("good film", 4.5), ("bad film", 0.5), ("the plot", 2.25))] * 12
        (tmp_path / f"{name}.tsv").write_text("text\tscore\n" + "\n".join(rows) + "\n")
    columns = ["--text-a", "text", "--label", "score", "--kind", "regression"]
    more = ["--recipe", "lesson", "--epochs", "12", "--learning-rate", "3e-3", "--batch-size", "8"]
    out = tmp_path / "run"
    done = run("train", "--data", str(tmp_path), *columns, "--model", str(model), "--out", str(out), *more)
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "scores.json").read_text())["validation"]["metrics"]["pearson"]["value"] > 0.5
    answers = run("predict", str(out), stdin="good film\nbad film\n").stdout.splitlines()
    assert answers[0] == "row\ttext\tpredicted_value"
    assert float(answers[1].split("\t")[2]) > float(answers[2].split("\t")[2])


def test_without_validation_data_it_trains_and_says_there_is_no_score(
    run: Run, model: Path, tables: Path, tmp_path: Path
) -> None:
    arguments = ["--data", str(tables / "train.csv"), *COLUMNS, "--model", str(model), "--out", str(tmp_path / "run")]
    done = run("train", *arguments, "--epochs", "1", "--validation", "none")
    assert done.returncode == 0, done.stderr
    assert "no validation data: every epoch trains, the last is kept" in done.stderr
    assert not (tmp_path / "run" / "scores.json").exists()


@pytest.mark.parametrize("what", ["model", "trained", "tables"])
def test_inspect_knows_what_it_is_given(what: str, run: Run, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(what)
    extra = COLUMNS if what == "tables" else []
    done = run("inspect", str(path), *extra)
    assert done.returncode == 0, done.stderr
    expected = {
        "model": "embeddings.token.weight",
        "trained": "labels in this order: down, up",
        "tables": "train: 320 of 320 rows used",
    }
    assert expected[what] in done.stdout
    json.loads(run("inspect", str(path), *extra, "--json").stdout)


def test_inspect_of_an_unknown_table_shows_its_columns(run: Run, tables: Path) -> None:
    done = run("inspect", str(tables / "train.csv"))
    assert done.returncode == 0, done.stderr
    assert "1  first" in done.stdout
    assert "--text-a" in done.stdout


def test_accumulated_gradients_give_the_same_losses(run: Run, model: Path, tables: Path, tmp_path: Path) -> None:
    # Dropout draws differ by how a batch is cut, so it is switched off in the encoder's configuration.
    quiet = tmp_path / "model"
    quiet.mkdir()
    for file in model.iterdir():
        (quiet / file.name).write_bytes(file.read_bytes())
    config = json.loads((quiet / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (quiet / "config.json").write_text(json.dumps(config))
    losses = []
    for name, extra in (("whole", []), ("parts", ["--micro-batch-size", "5"])):
        out = tmp_path / name
        arguments = ["--data", str(tables / "train.csv"), *COLUMNS, "--model", str(quiet), "--out", str(out)]
        done = run("train", *arguments, "--epochs", "1", "--precision", "fp32", *extra)
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        losses.append([line["loss"] for line in lines if line["event"] == "step"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_mean_pooled_run_is_fine_tuned_on_with_its_pooling(
    run: Run, model: Path, tables: Path, tmp_path: Path
) -> None:
    brief = ["--data", str(tables), *COLUMNS, *TRAINING, "--skip-probe", "--quiet"]
    first, second, other = tmp_path / "first", tmp_path / "second", tmp_path / "other"
    for out, flags in (
        (first, ["--model", str(model), "--pooling", "mean"]),
        (second, ["--model", str(first)]),
        (other, ["--model", str(first), "--pooling", "cls", "--allow-new", "pooler"]),
    ):
        done = run("train", *brief, *flags, "--out", str(out))
        assert done.returncode == 0, done.stderr
    signatures = [json.loads((out / "model" / "bertune.json").read_text()) for out in (first, second, other)]
    assert [signature["pooling"] for signature in signatures] == ["mean", "mean", "cls"]
    # Its head goes on with the pooling it was trained with, and not with another.
    head, pooler = {"classifier.weight", "classifier.bias"}, {"pooler.dense.weight", "pooler.dense.bias"}
    for out, expected in ((second, set()), (other, head | pooler)):
        receipt = json.loads((out / "receipt.json").read_text())
        assert {tensor["name"] for tensor in receipt["tensors"] if tensor["status"] != "loaded"} == expected
