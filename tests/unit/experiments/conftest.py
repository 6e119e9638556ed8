"""A tiny encoder and tables on disk, for studies in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.end_to_end.conftest import model, tables

from bertune.experiments.seed_settings import SeedSettings
from bertune.experiments.study import FinishedStudy, execute_study, prepare_study
from bertune.training.config import TrainingConfig
from bertune.training.run_settings import RunSettings

__all__ = ["model", "tables"]

Train = Callable[..., FinishedStudy]


def keep_quiet(line: str) -> None:
    pass


@pytest.fixture
def train(model: Path, tables: Path, tmp_path: Path) -> Train:
    """Trains a study of seeds on the small tables, into `study` in the test's folder."""

    def train(
        seeds: int | str,
        *,
        overwrite: bool = False,
        average: bool = False,
        say: Callable[[str], None] = keep_quiet,
        **config: object,
    ) -> FinishedStudy:
        run = RunSettings(
            data=str(tables),
            out=tmp_path / "study",
            model=str(model),
            text_a="first",
            label="mood",
            max_length=32,
            overwrite=overwrite,
        )
        values = {"epochs": 1, "batch_size": 16, "learning_rate": 3e-3, "seed": 42 if isinstance(seeds, str) else 1}
        settings = SeedSettings(seeds=seeds, average=average, parallel_seeds=1)
        study = prepare_study(run, TrainingConfig(**(values | config)), settings, say=say)
        return execute_study(study, say=say)

    return train


@pytest.fixture(autouse=True)
def one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
