"""Scores on rows that nothing was chosen by: `--test`, and MNLI's second validation set."""

import json
from pathlib import Path

from bertune.batches.dataset import Dataset
from bertune.checkpoints.model_folder import load
from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation.evaluate_model import score_logits
from bertune.evaluation.scores import Scores
from bertune.models.classifier import Classifier
from bertune.system.atomic import write_text
from bertune.system.json_file import MAX_OWN_BYTES, read_json_object
from bertune.system.process_group import ALONE, ProcessGroup
from bertune.training.objective import Objective
from bertune.training.prepare import PreparedRun
from bertune.training.reading import TEST


def score_unchosen(
    run: PreparedRun,
    name: str,
    classifier: Classifier,
    signature: ModelSignature,
    group: ProcessGroup = ALONE,
) -> Scores:
    """Scores the weights that were kept.

    Args:
        run: whose `also_scored` holds the rows.
        name: of the split.
        classifier: with these weights.
        signature: with their temperature and thresholds.
        group: of the processes that share the rows.
    """
    objective = Objective.of(signature)
    data: Dataset = objective.checked(run.also_scored[name], name, classifier)
    assert data.targets is not None
    _, logits = objective.score(classifier, data, run.train.known_targets, group)
    return score_logits(logits, data.targets, signature)


def score_kept_model(run: PreparedRun, folder: Path) -> Scores | None:
    """Scores the model that a study or a sweep keeps on the test rows, and writes that into its `scores.json`.

    Args:
        run: read the test rows; any of those that were chosen among.
        folder: of the study or sweep, with `model` and `scores.json`.

    Returns:
        The scores; None where no test rows were named.
    """
    if TEST not in run.also_scored:
        return None
    kept = load(folder / "model")
    kept.classifier.to(run.classifier.device)
    scores = score_unchosen(run, TEST, kept.classifier, kept.signature)
    path = folder / "scores.json"
    values = read_json_object(path, max_bytes=MAX_OWN_BYTES) | {TEST: scores.to_dict()}
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n", follow=False)
    return scores
