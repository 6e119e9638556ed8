"""A damaged checkpoint is found before anything is done with it, and the one before it serves."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.resumed_runs import CrashAt, crashed, prepared, resumed, write_world

from bertune.batches.sampler import batches_of, epoch_order, steps_in_epoch
from bertune.data.task_kind import TaskKind
from bertune.errors import CheckpointError
from bertune.evaluation.scores import Scoring, score
from bertune.system.committed_folder import MANIFEST, commit_folder
from bertune.training.checkpoint_names import checkpoints_in
from bertune.training.history import EpochResult, Evaluation, History
from bertune.training.run_checkpoints import newest_state
from bertune.training.run_state import RunState, read_state, write_state
from bertune.training.step import StepResult


@pytest.fixture(scope="module")
def crashed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = write_world(tmp_path_factory.mktemp("world"))
    out = tmp_path_factory.mktemp("runs") / "run"
    return crashed(prepared(world, out, epochs=3, save_every=2), CrashAt(15))


@pytest.fixture
def checkpoints(crashed_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(crashed_run / "checkpoints", tmp_path / "checkpoints"))


def say_nothing(line: str) -> None:
    pass


def test_a_thousand_flipped_bits_and_a_hundred_cuts_are_all_found(checkpoints: Path) -> None:
    newest, older = checkpoints_in(checkpoints)
    files = sorted(newest.iterdir())
    assert {file.name for file in files} >= {MANIFEST, "state.json", "weights.safetensors", "optimizer.safetensors"}
    weights = [max(1, file.stat().st_size) for file in files]
    draw = random.Random(11)
    # Half of them in proportion to the sizes, half in files that are small.
    chosen = [*draw.choices(files, weights, k=550), *draw.choices(files, k=550)]
    for number, file in enumerate(chosen):
        content = file.read_bytes()
        if number % 11 == 0:
            file.write_bytes(content[: draw.randrange(len(content))])
        else:
            changed = bytearray(content)
            changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            file.write_bytes(changed)
        with pytest.raises(CheckpointError) as raised:
            read_state(newest)
        assert str(file) in raised.value.message
        assert raised.value.exit_code == 3
        if number % 50 == 0:
            said: list[str] = []
            found = newest_state(checkpoints, said.append)
            assert found is not None
            assert older.name == f"step-{found.fitting.step:09d}"
            assert str(file) in said[0]
        file.write_bytes(content)
    assert read_state(newest).fitting.step > read_state(older).fitting.step


def test_where_no_checkpoint_is_whole_the_first_fault_is_told_and_nothing_is_trained(
    crashed_run: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(crashed_run, tmp_path / "run"))
    places = checkpoints_in(out / "checkpoints")
    for place in places:
        (place / "weights.safetensors").write_bytes(b"x")
    before = (out / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match="no checkpoint is whole") as raised:
        resumed(out)
    assert str(places[0] / "weights.safetensors") in raised.value.message
    assert (out / "metrics.jsonl").read_bytes() == before


def test_a_folder_that_was_not_completed_is_passed_over(checkpoints: Path) -> None:
    newest, older = checkpoints_in(checkpoints)
    (newest / MANIFEST).unlink()
    said: list[str] = []
    found = newest_state(checkpoints, said.append)
    assert found is not None
    assert older.name == f"step-{found.fitting.step:09d}"
    assert "was not completed" in said[0]


def test_a_journal_that_was_changed_is_told(crashed_run: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(crashed_run, tmp_path / "run"))
    lines = (out / "metrics.jsonl").read_text().splitlines(keepends=True)
    (out / "metrics.jsonl").write_text("".join(lines[1:]))
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl: not the journal") as raised:
        resumed(out)
    assert raised.value.exit_code == 3


def test_another_version_of_the_format_is_refused(checkpoints: Path) -> None:
    newest, _ = checkpoints_in(checkpoints)
    contents = {file.name: file.read_bytes() for file in newest.iterdir() if file.name != MANIFEST}
    state = json.loads(contents["state.json"])
    for version in (1, 3, "2", None):  # the first had no evaluations
        contents["state.json"] = json.dumps(state | {"version": version}).encode()
        commit_folder(newest, {name: [content] for name, content in contents.items()}, needed=0)
        with pytest.raises(CheckpointError, match="this bertune reads version 2"):
            read_state(newest)
    contents["state.json"] = json.dumps({**state, "step": "7"}).encode()
    commit_folder(newest, {name: [content] for name, content in contents.items()}, needed=0)
    with pytest.raises(CheckpointError, match=r"state\.json: not the state of a run: 'step'"):
        read_state(newest)


def with_history(state: RunState, history: History) -> RunState:
    return replace(state, fitting=replace(state.fitting, history=history))


def test_all_of_a_state_comes_back(checkpoints: Path, tmp_path: Path) -> None:
    newest, _ = checkpoints_in(checkpoints)
    state = read_state(newest)
    draw = np.random.default_rng(0)
    logits = draw.standard_normal((300, 150)).astype(np.float32)
    scores = score(
        logits, draw.integers(0, 150, 300), Scoring(TaskKind.CLASSIFICATION, ("accuracy",), tuple(map(str, range(150))))
    )
    steps = [StepResult(step, 1 + step // 9, 0.1 / (step + 1), 1e-5 / 3, 0.7, 16, 300 + step) for step in range(20)]
    epochs = [
        EpochResult(1, 0.3, 1.5, 11.25, scores, True, None),
        EpochResult(2, 1 / 3, 1.5, 11.25, scores, True, logits),
        EpochResult(3, 2 / 3, 1.5, 11.25, scores, False, None),
    ]
    evaluations = [
        Evaluation(3, 3 / 7, 0.7, 0.5, 9.0, scores, True).brief(),
        Evaluation(7, 1, 0.3, 1.5, 11.25, scores, True),
        Evaluation(14, 2, 1 / 3, 1.5, 11.25, scores, True, logits),
        # Patience ended the third epoch here.
        Evaluation(16, 16 / 7, 2 / 3, 1.5, 11.25, scores, False),
    ]
    write_state(tmp_path / "new", with_history(state, History(steps, epochs, True, "bf16", evaluations)))
    found = read_state(tmp_path / "new")
    assert found.fitting.history.steps == steps
    assert found.fitting.history.stopped_early
    assert found.fitting.history.engine == "bf16"
    assert found.fitting.history.epochs[1] == epochs[1]
    assert np.array_equal(found.fitting.history.epochs[1].logits, logits)
    without = replace(scores, confusion=())  # of so many labels only the best's
    assert found.fitting.history.epochs[0] == replace(epochs[0], scores=without)
    assert found.fitting.history.epochs[2] == replace(epochs[2], scores=without)
    assert found.fitting.history.evaluations == [
        each if each.logits is not None or each.step == 3 else replace(each, scores=without) for each in evaluations
    ]
    assert found.fitting.history.best.logits is found.fitting.history.epochs[1].logits
    assert type(found.fitting.history.best.epoch) is int
    assert (found.journal, found.fingerprint) == (state.journal, state.fingerprint)
    for name, value in vars(state.fitting).items():
        if name in ("weights", "best_weights"):
            assert value.keys() == getattr(found.fitting, name).keys()
            assert all(torch.equal(value[each], getattr(found.fitting, name)[each]) for each in value)
        elif name == "moments":
            assert all(torch.equal(pair[0], found.fitting.moments[each][0]) for each, pair in value.items())
            assert all(torch.equal(pair[1], found.fitting.moments[each][1]) for each, pair in value.items())
        elif name == "dynamics":
            assert torch.equal(
                value.epochs,
                found.fitting.dynamics.epochs,
            )
            assert torch.equal(value.values, found.fitting.dynamics.values)
            assert torch.equal(value.indices, found.fitting.dynamics.indices)
        elif name != "history":
            assert getattr(found.fitting, name) == value, name


def test_nothing_of_a_checkpoint_is_a_pickle(checkpoints: Path) -> None:
    for place in checkpoints_in(checkpoints):
        for file in place.iterdir():
            assert file.suffix in (".json", ".safetensors")
            json.loads(file.read_bytes()) if file.suffix == ".json" else None


def test_the_batch_after_a_million_steps_costs_one_permutation() -> None:
    """No batch before it is made, and no order but that of its own epoch."""
    import time

    rows, size, step = 400_000, 16, 1_000_000
    per_epoch = steps_in_epoch(rows, size)
    started = time.perf_counter()
    epoch = step // per_epoch
    order = epoch_order(rows, seed=1, epoch=epoch)
    batch = next(batches_of(order, size, first=step - epoch * per_epoch))
    assert time.perf_counter() - started < 2
    assert np.array_equal(batch, order[(step - epoch * per_epoch) * size :][:size])
