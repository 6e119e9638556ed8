"""An epoch's model with its temperature and thresholds."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.contract import Contract
from bertune.evaluation.calibrate import Calibration, calibrate
from bertune.evaluation.evaluate import score_logits
from bertune.evaluation.scores import Scores
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
    if result.logits is None or targets is None:
        return contract, result, None
    contract, scores, found = calibrated_scores(contract, result.logits, targets, settings)
    return contract, result if scores is None else replace(result, scores=scores), found


def calibrated_scores(
    contract: Contract, logits: NDArray[np.float32], targets: NDArray[Any], settings: RunSettings
) -> tuple[Contract, Scores | None, Calibration | None]:
    """Does what `calibrated` does, for a model that is not an epoch's.

    Args:
        contract: see `calibrated`, as for the last two.
        logits: (rows, labels) of the validation rows.
        targets: of the same rows.
        settings: of the run.

    Returns:
        The contract with temperature and thresholds, the scores by it, and how they were found; for values the contract
        as it was, and None twice.
    """
    if contract.kind == "regression":
        return contract, None, None
    wanted = None if settings.threshold == "default" else settings.threshold_for or contract.metrics[0]
    found = calibrate(logits, targets, contract.labels, threshold_for=wanted)
    contract = found.applied_to(contract)
    return contract, score_logits(logits, targets, contract), found
