"""`bertune push`: a run on the hub, proved, with its scores and without its texts."""

import csv
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from tests.end_to_end.world import Run
from tests.hub_server import Hub, serving

import bertune

FACTS = ["--license", "mit", "--language", "en", "--dataset", "none", "--base-model", "none"]
SECRET = "hf_secret"


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exports") / "exported"
    bertune.export(trained, out, format="tf_checkpoint")
    return out


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub(large=20_000)) as hub:
        yield hub


def variables(hub: Hub) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "", "HF_TOKEN": SECRET, "HF_HUB_DISABLE_XET": "1"}


def test_a_run_goes_to_the_hub_with_its_scores_and_without_its_texts(
    fresh_run: Run, trained: Path, tables: Path, hub: Hub, tmp_path: Path
) -> None:
    done = fresh_run("push", str(trained), "me/mood", *FACTS, **variables(hub))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("me/mood: transformers, equal to the model on 1,")
    assert done.stdout.splitlines()[1] == "https://huggingface.co/me/mood/commit/1"
    assert SECRET not in done.stdout + done.stderr
    files = hub.files("me/mood")
    data: Any = ModelCard(files["README.md"].decode()).data
    with (tables / "validation.csv").open(newline="") as stream:
        rows = [(row["first"], row["mood"]) for row in csv.DictReader(stream)]
    scores = bertune.load(trained).evaluate(tuple(zip(*rows, strict=True)))
    (result, *_) = data.eval_results
    assert (data.license, data.language, result.dataset_split) == ("mit", ["en"], "validation")
    assert result.metric_value == pytest.approx(scores.value("accuracy"))
    assert "95 % interval" in result.metric_name
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for table in ("train.csv", "validation.csv"):
        with (tables / table).open(newline="") as stream:
            texts = [row["first"] for row in csv.DictReader(stream)]
        assert len(texts) >= 80
        for name, content in files.items():
            assert not [text for text in texts if text.encode() in content], name
            assert str(trained).encode() not in content, name
            assert str(tables).encode() not in content, name
    there, here = bertune.load(tmp_path).predict(texts), bertune.load(trained).predict(texts)
    assert abs(there.probabilities - here.probabilities).max() < 1e-5


@pytest.mark.slow
def test_an_upload_of_a_run_that_broke_off_is_finished_by_the_same_command(
    fresh_run: Run, trained: Path, hub: Hub
) -> None:
    hub.refusals["commit"] = (503, "down for a moment")
    command = ["push", str(trained), "me/mood", *FACTS]
    done = fresh_run(*command, **variables(hub))
    assert done.returncode == 4
    assert done.stderr.splitlines()[-2].startswith("error: me/mood: the hub refused the upload: ")
    arrived = hub.count("object")
    del hub.refusals["commit"]
    done = fresh_run(*command, **variables(hub))
    assert done.returncode == 0, done.stderr
    assert hub.count("object") == arrived > 0, "the same run gives the same large files, which are there"


@pytest.mark.slow
def test_an_export_goes_to_the_hub_with_the_scores_of_its_run(
    fresh_run: Run, trained: Path, exported: Path, hub: Hub, tmp_path: Path
) -> None:
    command = ["push", str(exported), "me/mood", *FACTS, "--json"]
    hub.refusals["create"] = (401, "Invalid username or password")
    done = fresh_run(*command, **variables(hub))
    assert done.returncode == 2
    assert "error: the hub lets nobody write to me/mood without the right to: Invalid" in done.stderr
    assert "Traceback" not in done.stderr
    del hub.refusals["create"]
    done = fresh_run(*command, "--scores-of", str(trained), **variables(hub))
    assert done.returncode == 0, done.stderr
    card: Any = ModelCard(hub.files("me/mood")["README.md"].decode())
    assert card.data.library_name == "tf-keras"
    assert len(card.data.eval_results) >= 1
    names = {path.relative_to(exported).as_posix() for path in exported.iterdir()}
    assert set(hub.files("me/mood")) == names | {"README.md"}
    for name, content in hub.files("me/mood").items():
        (tmp_path / name).write_bytes(content)
    assert bertune.verify(tmp_path).format == "tf_checkpoint", "it proves itself where it is downloaded"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["me/mood", *FACTS], 2, "error: HF_HUB_OFFLINE is set, so that nothing can be uploaded"),
        (
            ["me/mood", "--dry-run", "OUT"],
            2,
            "error: the model card needs --license, --language, --dataset and --base-",
        ),
        (["me/mood", *FACTS, "--dry-run", "OUT", "--public"], 2, "nothing is sent with --dry-run, so --public"),
        (
            ["me/mood", *FACTS, "--scores-of", "RUN", "--dry-run", "OUT"],
            2,
            "is no export, so --scores-of has no effect",
        ),
    ],
)
def test_what_cannot_work_is_one_error(
    run: Run, trained: Path, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    places = {"OUT": str(tmp_path / "out"), "RUN": str(trained)}
    done = run("push", str(trained), *(places.get(word, word) for word in arguments))
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("error:") == 1
    assert not (tmp_path / "out").exists()


def test_a_run_that_has_not_ended_is_not_published(run: Run, trained: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trained, tmp_path / "run"))
    (copy / "unfinished").write_text("")
    done = run("push", str(copy), "me/mood", *FACTS, "--dry-run", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "the run has not ended" in done.stderr


@pytest.mark.slow
def test_at_a_terminal_what_the_card_lacks_is_asked_for(exported: Path, tmp_path: Path) -> None:
    controller, worker = pty.openpty()
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bertune", "push", str(exported), "me/mood", "--quiet", "--dry-run", str(out)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    answers = {b"license (": b"My License\n", b"My License": b"mit\n", b"language (": b"en, de\n"}
    answers |= {b"dataset (": b"none\n", b"base-model (": b"none\n"}
    with subprocess.Popen(command, stdin=worker, stdout=worker, stderr=worker, env=environment) as process:
        os.close(worker)
        said, seen = b"", b""
        while True:
            try:
                part = os.read(controller, 4096)
            except OSError:
                break
            said, seen = said + part, seen + part
            if seen.endswith(b"): "):
                asked = next(question for question in answers if question in seen)
                os.write(controller, answers.pop(asked))
                seen = b""
        assert process.wait(timeout=120) == 0, said.decode()
    os.close(controller)
    data: Any = ModelCard((out / "README.md").read_text()).data
    assert (data.license, data.language, data.datasets, data.base_model) == ("mit", ["en", "de"], None, None)
