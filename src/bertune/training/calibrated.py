"""The signature of a model with its temperature and thresholds, and its scores by it."""

from typing import Any

from numpy.typing import NDArray

from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation.calibration import Calibration, calibrate
from bertune.evaluation.evaluate_model import score_logits
from bertune.evaluation.scores import Scores
from bertune.training.run_settings import RunSettings


def calibrated(
    signature: ModelSignature, logits: NDArray[Any], targets: NDArray[Any], settings: RunSettings
) -> tuple[ModelSignature, Scores, Calibration | None]:
    """Fits temperature and, if asked, thresholds on a model's answers to the validation rows.

    Args:
        signature: of the model, without them.
        logits: (rows, labels), as the model gives them.
        targets: of the same rows.
        settings: of the run: whether thresholds are chosen, and for what.

    Returns:
        The signature with both, the scores by that signature, and how they were found. For values there is nothing to
        find: the signature as it was, and None.
    """
    found = None
    if signature.kind.has_labels:
        wanted = None if settings.threshold == "default" else settings.threshold_for or signature.metrics[0]
        found = calibrate(logits, targets, signature.labels, threshold_for=wanted)
        signature = found.applied_to(signature)
    return signature, score_logits(logits, targets, signature), found
