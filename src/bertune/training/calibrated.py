"""An epoch's model with its temperature and thresholds."""

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from bertune.checkpoints.contract import Contract
from bertune.evaluation.calibrate import Calibration, calibrate
from bertune.evaluation.evaluate import score_logits
from bertune.training.loop import EpochResult
from bertune.training.run_settings import RunSettings


def calibrated(
    contract: Contract, result: EpochResult, targets: NDArray[Any] | None, settings: RunSettings
) -> tuple[Contract, EpochResult, Calibration | None]:
    """Fits temperature and, if asked, thresholds on what an epoch says of the validation rows.

    Args:
        contract: of the model, without them.
        result: of the epoch.
        targets: of the validation rows; None where there are none.
        settings: of the run: whether thresholds are chosen, and for what.

    Returns:
        The contract with both, the epoch with its scores by that contract, and how they were found; contract and epoch
        as they were, and None, for values and without validation data.
    """
    if contract.kind == "regression" or targets is None or result.logits is None:
        return contract, result, None
    wanted = None if settings.threshold == "default" else settings.threshold_for or contract.metrics[0]
    found = calibrate(result.logits, targets, contract.labels, threshold_for=wanted)
    contract = found.applied_to(contract)
    scores = score_logits(result.logits, targets, contract)
    return contract, replace(result, scores=scores), found
