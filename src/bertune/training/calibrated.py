"""The contract of a model with its temperature and thresholds, and its scores by it."""

from typing import Any

from numpy.typing import NDArray

from bertune.checkpoints.signature import Contract
from bertune.evaluation.calibration import Calibration, calibrate
from bertune.evaluation.evaluate_model import score_logits
from bertune.evaluation.scores import Scores
from bertune.training.run_settings import RunSettings


def calibrated(
    contract: Contract, logits: NDArray[Any], targets: NDArray[Any], settings: RunSettings
) -> tuple[Contract, Scores, Calibration | None]:
    """Fits temperature and, if asked, thresholds on a model's answers to the validation rows.

    Args:
        contract: of the model, without them.
        logits: (rows, labels), as the model gives them.
        targets: of the same rows.
        settings: of the run: whether thresholds are chosen, and for what.

    Returns:
        The contract with both, the scores by that contract, and how they were found. For values there is nothing to
        find: the contract as it was, and None.
    """
    found = None
    if contract.kind.has_labels:
        wanted = None if settings.threshold == "default" else settings.threshold_for or contract.metrics[0]
        found = calibrate(logits, targets, contract.labels, threshold_for=wanted)
        contract = found.applied_to(contract)
    return contract, score_logits(logits, targets, contract), found
