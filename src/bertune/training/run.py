"""A whole run: from a table and a pretrained encoder to a model folder with scores."""

from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bertune.checkpoints.contract import Contract
from bertune.checkpoints.model_directory import save
from bertune.encoder.precision import choose_precision, name_of
from bertune.evaluation.calibrate import Calibration
from bertune.evaluation.evaluate import score_logits
from bertune.evaluation.scores import Scores
from bertune.training.calibrated import calibrated
from bertune.training.dynamics import Dynamics
from bertune.training.goal import Goal
from bertune.training.journal import Journal
from bertune.training.loop import EpochResult, History, Observer, fit
from bertune.training.observers import Observers
from bertune.training.prepare import PreparedRun
from bertune.training.run_directory import RunDirectory
from bertune.training.run_rows import write_dynamics, write_validation_rows
from bertune.training.tensorboard import TensorBoard


@dataclass(frozen=True)
class FinishedRun:
    """What a run came to.

    Args:
        directory: where everything is.
        history: steps and epochs.
        best: the epoch whose weights are in the model folder, with the scores of that model: by its temperature and
            thresholds.
        calibration: how temperature and thresholds were found; None for values and without validation data.
        also: its scores on validation data that nothing was chosen by (MNLI's second set), by the name of the split.
    """

    directory: RunDirectory
    history: History
    best: EpochResult
    calibration: Calibration | None = None
    also: dict[str, Scores] = field(default_factory=dict)


def execute(run: PreparedRun, *, observer: Observer | None = None) -> FinishedRun:
    """Trains, and writes the run folder.

    Args:
        run: what was prepared.
        observer: watches, beside the journal.

    Raises:
        ConfigError: the folder holds something else.
        DivergedError: the loss is not finite; the model folder then holds the best epoch so far, if there was one.
    """
    directory = RunDirectory(run.settings.out)
    labels = run.contract.labels
    dynamics = Dynamics(len(run.train), run.contract.kind)
    contract = run.contract
    best: EpochResult | None = None
    calibration: Calibration | None = None

    def keep(result: EpochResult) -> None:
        nonlocal contract, best, calibration
        contract, best = run.contract, result
        if run.validation is not None and result.logits is not None:
            assert run.validation.targets is not None
            contract, answered, calibration = calibrated(
                run.contract, result.logits, run.validation.targets, run.settings
            )
            best = replace(result, scores=answered)
        scores = None if best.scores is None else {"metrics": best.scores.values, "rows": best.scores.rows}
        save(run.classifier, directory.model, tokenizer=run.tokenizer, contract=contract, scores=scores)
        # After the model, so that scores are never those of weights that are not there.
        if best.scores is not None:
            directory.write_json("scores.json", {"epoch": best.epoch, "validation": best.scores.to_dict()})
        if calibration is not None:
            directory.write_json("calibration.json", calibration.to_dict())
        if run.validation is not None and result.logits is not None:
            write_validation_rows(
                directory.path / "validation.jsonl", run.describe["validation"], run.validation, result.logits, labels
            )
        directory.forget_earlier_run()

    with directory.started(overwrite=run.settings.overwrite), ExitStack() as kept_open:
        # First, since it makes the folder a run: one that is killed right after can be replaced.
        directory.write_settings(resolved_settings(run))
        journal = kept_open.enter_context(Journal(directory.journal))
        long_texts = {name: report.to_dict() for name, report in run.long_texts.items()}
        directory.write_json("data.json", run.audit.to_dict() | {"long_texts": long_texts})
        directory.write_json("receipt.json", run.receipt.to_dict())
        curves = kept_open.enter_context(TensorBoard(directory.tensorboard)) if run.settings.tensorboard else None
        history = fit(
            run.classifier,
            run.train,
            run.validation,
            config=run.config,
            kind=run.contract.kind,
            metrics=run.contract.metrics,
            label_names=run.contract.labels or None,
            target_range=run.contract.target_range,
            observer=Observers((journal, curves, observer)),
            on_best=keep,
            dynamics=dynamics,
        )
        write_dynamics(directory.path, run.describe["train"], run.train, dynamics, labels)
        best = best or history.best
        also = _score_also(run, directory, contract, best)
    return FinishedRun(directory, history, best, calibration, also)


def _score_also(run: PreparedRun, directory: RunDirectory, contract: Contract, best: EpochResult) -> dict[str, Scores]:
    """Scores the best weights on the validation data that nothing was chosen by, and writes that beside the others."""
    goal, also = Goal.of(contract), {}
    for name, data in run.also_scored.items():
        checked = goal.checked(data, name, run.classifier)
        assert checked.targets is not None
        _, logits = goal.score(run.classifier, checked, run.train.targets)
        also[name] = score_logits(logits, checked.targets, contract)
    if also:
        scores = {"validation": best.scores} if best.scores is not None else {}
        values = {name: split.to_dict() for name, split in (scores | also).items()}
        directory.write_json("scores.json", {"epoch": best.epoch} | values)
    return also


def resolved_settings(run: PreparedRun) -> dict[str, Any]:
    """Returns every setting under its flag's name, as `run.toml` holds them; unset and empty ones are left out.

    What was chosen for the user is written out, paths are absolute, and `overwrite` is left out: to repeat a run must
    not replace it.
    """
    settings = run.settings
    device = run.classifier.classifier.weight.device
    merged = asdict(settings) | asdict(run.config)
    merged |= {
        "data": _absolute(settings.data),
        "validation": settings.validation and _absolute(settings.validation),
        "model": _absolute(settings.model),
        "out": str(settings.out.absolute()),
        "metric": run.contract.metrics[0] if run.validation is not None else None,
        "precision": name_of(choose_precision(run.config.precision, device)),
        "device": device.type,
        "overwrite": None,
    }
    # An empty list in TOML would come back as a list with an empty list in it.
    return {
        name.replace("_", "-"): list(value) if isinstance(value, tuple) else value
        for name, value in merged.items()
        if value is not None and value != ()
    }


def _absolute(name: str) -> str:
    """Makes a path absolute; names of the hub stay as they are."""
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else name
