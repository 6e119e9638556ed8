"""Event files as TensorBoard's own reader sees them."""

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from tests.unit.training.conftest import make_classifier, make_dataset

from bertune.data.formats.record_file import read_records_of
from bertune.errors import DataError
from bertune.training.config import TrainingConfig
from bertune.training.event_file import EventFile
from bertune.training.loop import fit
from bertune.training.tensorboard import TensorBoard

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of its dependencies
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every tag with its steps and values."""
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    with EventFile(tmp_path / "logs") as file:
        file.add(0, {"train/loss": 0.5})
        file.add(3_000_000_000, {"train/loss": -1e-3, "eval/accuracy über": float("inf")})
    found = read(tmp_path / "logs")
    assert found["train/loss"] == [(0, 0.5), (3_000_000_000, pytest.approx(-1e-3))]
    assert found["eval/accuracy über"] == [(3_000_000_000, float("inf"))]


def test_a_run_has_the_usual_tags_with_the_numbers_of_its_history(tmp_path: Path) -> None:
    with TensorBoard(tmp_path) as board:
        history = fit(
            make_classifier(),
            make_dataset(48, 1),
            make_dataset(24, 2),
            config=TrainingConfig(epochs=2, batch_size=16, precision="fp32"),
            metrics=("accuracy", "f1"),
            callbacks=[board],
        )
    found = read(tmp_path)
    for tag, name in (("loss", "loss"), ("learning_rate", "learning_rate"), ("gradient_norm", "gradient_norm")):
        expected = [(step.step + 1, pytest.approx(getattr(step, name), rel=1e-6)) for step in history.steps]
        assert found[f"train/{tag}"] == expected
    assert [step for step, _ in found["train/examples_per_second"]] == [3, 6]
    for metric in ("accuracy", "f1"):
        values = [pytest.approx(epoch.scores.value(metric)) for epoch in history.epochs if epoch.scores is not None]
        assert found[f"eval/{metric}"] == list(zip([3, 6], values, strict=True))
    assert [value for _, value in found["eval/loss"]] == [
        pytest.approx(epoch.scores.mean_loss) for epoch in history.epochs if epoch.scores is not None
    ]


def test_a_killed_run_leaves_every_step_it_took(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from bertune.training.event_file import EventFile\n"
        "file = EventFile(Path(sys.argv[1]))\n"
        "for step in range(5): file.add(step, {'train/loss': step})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert read(tmp_path) == {"train/loss": [(step, float(step)) for step in range(5)]}


def test_a_file_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    with EventFile(tmp_path) as file:
        for step in range(3):
            file.add(step, {"train/loss": 1.0})
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    assert [step for step, _ in read(tmp_path)["train/loss"]] == [0, 1]
    with pytest.raises(DataError):  # our own reader takes whole files only
        list(read_records_of(path))


def test_without_validation_data_nothing_is_evaluated(tmp_path: Path) -> None:
    with TensorBoard(tmp_path) as board:
        config = TrainingConfig(epochs=1, batch_size=16, precision="fp32")
        fit(make_classifier(), make_dataset(32, 1), config=config, callbacks=[board])
    assert {tag.partition("/")[0] for tag in read(tmp_path)} == {"train"}
