"""Training rows of a run, and what its encoder makes of texts: the mean of its last layer, of length 1."""

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from bertune.data.examples import Examples
from bertune.errors import BertuneError
from bertune.evaluation.classifier_predictor import ClassifierPredictor
from bertune.evaluation.labelled_rows import TextRows
from bertune.evaluation.mean_features import mean_features
from bertune.evaluation.predictor import Predictor
from bertune.reports.run_files import read_settings
from bertune.shards.manifest import find_reencoded_splits
from bertune.training.named_paths import NAMES_OF_PATHS, place_of
from bertune.training.reading import read_training_data
from bertune.training.run_directory import RunDirectory
from bertune.training.run_settings import RunSettings

_LOG: Final = logging.getLogger(__name__)


def training_rows(run: Path, train_rows: int | None) -> Examples | None:
    """Reads the rows that a run was trained on, where they are still there as they were; fetches nothing.

    Args:
        run: its folder.
        train_rows: how many the model was trained on, if that is known.
    """
    try:
        saved = read_settings(run)
        if saved.train is None or "://" in str(saved.train.get("data", "://")):
            return None
        start = RunDirectory(run).started_in
        own = {field.name for field in fields(RunSettings)}
        given: dict[str, Any] = {
            name.replace("-", "_"): place_of(value, start) if name in NAMES_OF_PATHS else value
            for name, value in saved.train.items()
            if name.replace("-", "_") in own - {"test", "out"}
        }
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        settings = RunSettings(**given, out=run)
        if find_reencoded_splits(settings.data):
            return None
        rows = read_training_data(settings)[1]["train"]
    except (BertuneError, OSError, TypeError, ValueError) as error:
        _LOG.info("the training rows of %s cannot be read: %s", run, error)
        return None
    return rows if train_rows in (None, len(rows)) else None


def can_be_compared(predictor: Predictor) -> bool:
    """Tells whether features can be computed."""
    return isinstance(predictor, ClassifierPredictor)


def features_of(predictor: Predictor, examples: Examples) -> npt.NDArray[np.float32]:
    """Computes the features of examples.

    Args:
        predictor: of which `can_be_compared` is true.
        examples: as the model takes them.

    Returns:
        (examples, hidden_size), each of length 1.
    """
    assert isinstance(predictor, ClassifierPredictor)
    encoded = TextRows(examples).encoded_for(predictor)
    features = mean_features(predictor.model.classifier.encoder, encoded, precision=torch.float32)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = features / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
