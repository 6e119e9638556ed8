"""The way back, the original's half: it restores what bertune wrote, strictly, and computes."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
from official.legacy.bert import bert_models
from original import class_based, config_of, functional, outputs_of
from rows import Row, arrays_row

TOLERANCE = 1e-5
INPUTS = ("input_word_ids", "input_mask", "input_type_ids")


def compare(folder: Path) -> list[Row]:
    """Variables bit for bit, then outputs, for every model the original may restore into."""
    stored = np.load(folder / "functional.npz")
    found = []
    models: dict[str, tuple[Callable[[Any], Any], str]] = {
        "functional encoder as `model`": (functional, "model"),
        "functional encoder as `encoder`": (functional, "encoder"),
        "BertEncoderV2 as `model`": (class_based, "model"),
        "BertEncoderV2 as `encoder`": (class_based, "encoder"),
    }
    first = _first(folder.parent / "functional", functional(config_of()))
    for name, (build, root) in models.items():
        encoder = build(config_of())
        tf.train.Checkpoint(**{root: encoder}).restore(str(folder / "functional")).assert_consumed()
        if build is functional:
            found.append(_same_variables(name, encoder, first))
        if root == "model":
            outputs = outputs_of(encoder, {key: stored[key] for key in INPUTS})
            found += _output_rows(name, stored, outputs)
    classifier, _ = bert_models.classifier_model(config_of(), 2)
    start = _first(folder.parent / "classifier", classifier)
    for variable in classifier.variables:
        variable.assign(tf.zeros_like(variable))
    tf.train.Checkpoint(model=classifier).restore(str(folder / "classifier")).assert_consumed()
    found.append(_same_variables("BertClassifier", classifier, start))
    stored = np.load(folder / "classifier.npz")
    logits = classifier({key: stored[key] for key in INPUTS}).numpy()
    return [*found, arrays_row("BertClassifier: logits", {"": stored["logits"]}, {"": logits}, TOLERANCE)]


def _first(folder: Path, model: Any) -> dict[str, np.ndarray]:
    """The variables as the original wrote them at first."""
    prefix = json.loads((folder / "about.json").read_text())["prefix"]
    tf.train.Checkpoint(model=model).read(prefix).assert_existing_objects_matched().expect_partial()
    return {variable.name: variable.numpy() for variable in model.variables}


def _same_variables(name: str, model: Any, first: dict[str, np.ndarray]) -> Row:
    now = {variable.name: variable.numpy() for variable in model.variables}
    return arrays_row(
        f"{name}: variables after original, bertune, original",
        now,
        first,
        0,
        f"{len(now)} variables, assert_consumed()",
    )


def _output_rows(name: str, stored: Any, outputs: dict[str, np.ndarray]) -> list[Row]:
    real = stored["input_mask"].astype(bool)
    return [
        arrays_row(
            f"{name}: sequence output of real tokens",
            {"": stored["sequence_output"][real]},
            {"": outputs["sequence_output"][real]},
            TOLERANCE,
            f"{len(real)} pairs, assert_consumed()",
        ),
        arrays_row(f"{name}: pooled output", {"": stored["pooled_output"]}, {"": outputs["pooled_output"]}, TOLERANCE),
    ]
