"""A model's contract with temperature and thresholds, and its scores by them."""

from typing import Any

from numpy.typing import NDArray

from bertune.checkpoints.contract import Contract
from bertune.evaluation.calibrate import Calibration, calibrate
from bertune.evaluation.evaluate import score_logits
from bertune.evaluation.scores import Scores
from bertune.training.run_settings import RunSettings


def calibrated(
    contract: Contract, logits: NDArray[Any] | None, targets: NDArray[Any] | None, settings: RunSettings
) -> tuple[Contract, Scores | None, Calibration | None]:
    """Fits a temperature and, if asked, thresholds on what a model says of the validation rows.

    Args:
        contract: of the model, without them.
        logits: on the validation rows, (rows, labels); None where there are none.
        targets: of the same rows.
        settings: of the run: whether thresholds are chosen, and for what.

    Returns:
        The contract with both, the scores by that contract, and how both were found; the contract as it was and twice
        None for values and without validation data.
    """
    if contract.kind == "regression" or targets is None or logits is None:
        return contract, None, None
    wanted = None if settings.threshold == "default" else settings.threshold_for or contract.metrics[0]
    found = calibrate(logits, targets, contract.labels, threshold_for=wanted)
    contract = found.applied_to(contract)
    return contract, score_logits(logits, targets, contract), found
