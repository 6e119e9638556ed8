"""`bertune predict` on an export to ONNX: the run's answers, without torch."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.end_to_end.world import Run

# What a prediction may import beside Python's own and bertune: whoever serves an export installs no more.
# Where a bar is drawn, rich draws it.
ALLOWED = {"attr", "attrs", "bertune", "cyclopts", "numpy", "onnxruntime", "tokenizers"}
# By these variables telemetry is off anyway: the one for it, and what tells of tests.
TELLS_NOTHING = {"CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "TF_BUILD"}
TOLD = "from importlib.metadata import packages_distributions as known; import sys; from bertune.cli.app import main"


@pytest.fixture(scope="module")
def exported(run: Run, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exports") / "onnx"
    done = run("export", str(trained), str(out), "--format", "onnx")
    assert done.returncode == 0, done.stderr
    return out


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines(), delimiter="\t"))


def test_texts_files_and_lines_are_answered_as_the_run_answers_them(
    run: Run, trained: Path, exported: Path, tables: Path
) -> None:
    ways: list[tuple[list[str], str | None]] = [
        (["good film and bad day"], None),
        (["--data", str(tables), "--keep", "all"], None),
        ([], "nice day\nbad film\n"),
    ]
    for arguments, stdin in ways:
        by_run, by_export = (run("predict", str(folder), *arguments, stdin=stdin) for folder in (trained, exported))
        assert (by_run.returncode, by_export.returncode) == (0, 0), by_export.stderr
        expected, found = rows_of(by_run.stdout), rows_of(by_export.stdout)
        assert len(expected) == len(found) > 0
        for one, other in zip(expected, found, strict=True):
            assert one.keys() == other.keys()
            for name, value in one.items():
                if name.startswith("probability"):
                    assert float(value) == pytest.approx(float(other[name]), abs=1e-5)
                else:
                    assert value == other[name]
    assert "computed in fp32, ONNX Runtime " in by_export.stderr


def test_a_prediction_imports_tokenizers_numpy_and_onnxruntime_alone(exported: Path) -> None:
    program = (
        f"{TOLD}\ncode = main(['predict', {str(exported)!r}, 'good day', '--json'])\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "print(code, *sorted(names & set(known())), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    code, *imported = done.stderr.splitlines()[-1].split()
    assert (code, json.loads(done.stdout)["predicted_label"]) == ("0", "up"), done.stderr
    # Hooks of the environment, which run before the first line, begin with an underscore.
    assert {name for name in imported if not name.startswith("_")} == ALLOWED - {"bertune"}


def test_a_prediction_leaves_nothing_that_could_be_sent_elsewhere(exported: Path, tmp_path: Path) -> None:
    # Since its version 1.29 onnxruntime keeps what it would tell its maker in the folder of the user.
    environment = {name: value for name, value in os.environ.items() if name not in TELLS_NOTHING}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "bertune", "predict", str(exported), "good day"]
    subprocess.run(command, env=environment, capture_output=True, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []


def test_what_needs_torch_says_so_where_there_is_none(trained: Path) -> None:
    program = f"import sys; sys.modules['torch'] = None; {TOLD}; sys.exit(main(['predict', {str(trained)!r}, 'good']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: torch is not installed, and this needs it",
        "hint: pip install bertune brings it; without, there are predict, verify and serve, of exports to ONNX",
    ]


def _change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _link(path: Path) -> None:
    elsewhere = path.parent.parent / f"moved-{path.name}"
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("name", ["model.onnx", "contract.json", "vocab.txt", "tokenizer.json", "config.json"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [(_change, "has changed since the export was proved"), (Path.unlink, "is missing"), (_link, "a link")],
)
def test_a_folder_that_is_not_the_one_that_was_proved_is_refused(
    run: Run, exported: Path, tmp_path: Path, name: str, damage: Callable[[Path], object], words: str
) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "export"))
    damage(folder / name)
    done = run("predict", str(folder), "good")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"error: {folder / name}: {words}"), done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error")]) == 1


def test_a_moved_folder_predicts_and_one_with_a_further_file_does_not(run: Run, exported: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "moved" / "export"))
    assert run("predict", str(folder), "good").returncode == 0
    (folder / "weights.bin").write_bytes(b"1")
    done = run("predict", str(folder), "good")
    assert done.returncode == 3
    assert "weights.bin: was not there when the export was proved" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["predict", "OUT", "good", "--precision", "bf16"], 2, "so --precision has no effect"),
        (["predict", "OUT", "good", "--device", "cpu"], 2, "so --device has no effect"),
        (["predict", "OUT", "good", "--explain"], 2, "an export gives logits alone, so --explain has no effect"),
        (["predict", "OUT", "--data", "TABLES/test.csv", "--shards", "2", "--out", "NEW"], 3, "this takes none"),
        (["evaluate", "OUT", "--data", "TABLES/test.csv"], 3, "OUT: an export; bertune predict takes those to onnx"),
        (["calibrate", "OUT", "--data", "TABLES/test.csv"], 3, "hint: name the run that was exported"),
    ],
)
def test_what_an_export_cannot_do_is_refused_by_one_sentence(
    run: Run, exported: Path, tables: Path, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    places = {"OUT": str(exported), "TABLES": str(tables), "NEW": str(tmp_path / "new")}

    def placed(text: str) -> str:
        for name, place in places.items():
            text = text.replace(name, place)
        return text

    done = run(*map(placed, arguments))
    assert (done.returncode, done.stdout) == (code, "")
    assert placed(words) in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error")]) == 1
