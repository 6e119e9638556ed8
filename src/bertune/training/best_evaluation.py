"""The best evaluation of a run: its model with all that is written about it, as soon as it is the best."""

from dataclasses import replace
from typing import Any

from bertune.checkpoints.model_folder import save
from bertune.evaluation.calibration import Calibration
from bertune.training.calibrated import calibrated
from bertune.training.fitting_state import FittingState
from bertune.training.history import Evaluation
from bertune.training.prepare import PreparedRun
from bertune.training.run_directory import RunDirectory
from bertune.training.run_rows import write_validation_rows
from bertune.training.saved_run import RunScores


class BestEvaluation:
    """Keeps the model of the best evaluation so far in the folder of a run.

    Args:
        run: that trains.
        directory: its folder.

    Attributes:
        result: the evaluation, with the scores by its temperature and thresholds; None before there is one.
        signature: of its model.
        calibration: how temperature and thresholds were found; None where there are none.
    """

    def __init__(self, run: PreparedRun, directory: RunDirectory) -> None:
        self._run, self._directory = run, directory
        self.result: Evaluation | None = None
        self.signature = run.signature
        self.calibration: Calibration | None = None

    def keep(self, result: Evaluation) -> None:
        """Writes the model, while the classifier has the weights that were evaluated."""
        run, directory, logits = self._run, self._directory, result.logits
        self.signature, self.result = run.signature, result
        if run.validation is not None and logits is not None:
            assert run.validation.targets is not None
            self.signature, answered, self.calibration = calibrated(
                run.signature, logits, run.validation.targets, run.settings
            )
            self.result = replace(result, scores=answered)
        best = self.result
        directory.refuse_gone()
        if not run.keeps_model:
            return
        scores = None if best.scores is None else {"metrics": best.scores.values, "rows": best.scores.rows}
        save(run.classifier, directory.model, tokenizer=run.tokenizer, signature=self.signature, scores=scores)
        if self.calibration is not None:
            directory.write_calibration(self.calibration.saved())
        if run.validation is not None and logits is not None:
            path = directory.path / "validation.jsonl"
            write_validation_rows(path, run.describe["validation"], run.validation, logits, run.signature)
        # Last: it tells whether all of this is of the weights that are there.
        if best.scores is not None:
            directory.write_scores(RunScores(**self.place_of(best), validation=best.scores.saved()))
        directory.forget_earlier_run(ended=False)

    def place_of(self, evaluation: Evaluation) -> dict[str, Any]:
        """Returns which evaluation it was, as `RunScores` has it: by epoch, and by step where one may have several."""
        step = None if self._run.config.evaluate_every is None else evaluation.step
        return {"epoch": evaluation.epoch, "step": step}

    def keep_again(self, state: FittingState) -> None:
        """Writes what was the best at a checkpoint; what came after it is made once more.

        Without validation rows nothing is: the epoch that comes is the best.
        """
        if not state.history.evaluations or self._run.validation is None:
            return
        best = state.history.best
        weights = state.weights if state.best_weights is None else state.best_weights
        for name, parameter in self._run.classifier.named_parameters():
            parameter.detach().copy_(weights[name])
        self.keep(best)
