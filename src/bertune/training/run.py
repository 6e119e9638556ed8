"""A whole run: from a table and a pretrained encoder to a model folder with scores."""

from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace

from bertune.checkpoints.model_folder import save
from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation.calibration import Calibration
from bertune.evaluation.frozen_probe import FrozenProbe
from bertune.evaluation.scores import Scores
from bertune.nn.precision import choose_precision, name_of
from bertune.system.hinted_values import to_json
from bertune.training.advice import Advice
from bertune.training.also_scored import score_unchosen
from bertune.training.calibrated import calibrated
from bertune.training.callback import Callback, OnBest
from bertune.training.dynamics import Dynamics
from bertune.training.history import EpochResult, History
from bertune.training.journal import Journal
from bertune.training.loop import fit
from bertune.training.named_paths import Settings
from bertune.training.prepare import PreparedRun
from bertune.training.run_advice import advice_on, beside_frozen, frozen_probe_of
from bertune.training.run_directory import RunDirectory
from bertune.training.run_rows import write_dynamics, write_validation_rows
from bertune.training.saved_run import RunScores, SavedData
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
        also: its scores on rows that nothing was chosen by (MNLI's second set, test), by the name of the split.
        frozen: the regression on frozen features that it is held against; None where there was none.
        advice: what to try instead; nothing for a run that has learned.
    """

    directory: RunDirectory
    history: History
    best: EpochResult
    calibration: Calibration | None = None
    also: dict[str, Scores] = field(default_factory=dict)
    frozen: FrozenProbe | None = None
    advice: tuple[Advice, ...] = ()


def execute(run: PreparedRun, *, callback: Callback | None = None) -> FinishedRun:
    """Trains, and writes the run folder.

    Args:
        run: what was prepared.
        callback: watches, beside the journal.

    Raises:
        ConfigError: the folder holds something else.
        DivergedError: the loss is not finite; the model folder then holds the best epoch so far, if there was one.
    """
    directory = RunDirectory(run.settings.out)
    dynamics = Dynamics(len(run.train), run.signature.kind)
    signature = run.signature
    best: EpochResult | None = None
    calibration: Calibration | None = None

    def keep(result: EpochResult) -> None:
        nonlocal signature, best, calibration
        signature, best = run.signature, result
        if run.validation is not None and result.logits is not None:
            assert run.validation.targets is not None
            signature, answered, calibration = calibrated(
                run.signature, result.logits, run.validation.targets, run.settings
            )
            best = replace(result, scores=answered)
        directory.refuse_gone()
        scores = None if best.scores is None else {"metrics": best.scores.values, "rows": best.scores.rows}
        save(run.classifier, directory.model, tokenizer=run.tokenizer, signature=signature, scores=scores)
        if calibration is not None:
            directory.write_calibration(calibration.saved())
        if run.validation is not None and result.logits is not None:
            write_validation_rows(
                directory.path / "validation.jsonl",
                run.describe["validation"],
                run.validation,
                result.logits,
                run.signature,
            )
        # Last: it tells whether all of this is of the weights that are there.
        if best.scores is not None:
            directory.write_scores(RunScores(epoch=best.epoch, validation=best.scores.saved()))
        directory.forget_earlier_run(ended=False)

    with directory.started(overwrite=run.settings.overwrite), ExitStack() as kept_open:
        # First, since it makes the folder a run: one that is killed right after can be replaced.
        directory.write_settings(resolved_settings(run))
        journal = kept_open.enter_context(Journal(directory.journal))
        directory.write_json("data.json", to_json(_saved_data(run)))
        directory.write_json("receipt.json", run.receipt.to_dict())
        curves = kept_open.enter_context(TensorBoard(directory.tensorboard)) if run.settings.tensorboard else None
        frozen = run.frozen or frozen_probe_of(run)
        history = fit(
            run.classifier,
            run.train,
            run.validation,
            config=run.config,
            kind=run.signature.kind,
            metrics=run.signature.metrics,
            label_names=run.signature.labels or None,
            target_range=run.signature.target_range,
            callbacks=[OnBest(keep), *filter(None, (journal, curves, callback))],
            dynamics=dynamics,
            verbose=False,
        )
        write_dynamics(directory.path, run.describe["train"], run.train, dynamics, run.signature)
        best = best or history.best
        advice = advice_on(run, history, best, beside_frozen(frozen, best, signature))
        also = _score_also(run, signature)
        if best.scores is not None or also:
            scored = RunScores(
                epoch=best.epoch,
                validation=None if best.scores is None else best.scores.saved(),
                also={name: split.saved() for name, split in also.items()},
                frozen_features=None if frozen is None else frozen.saved(),
                advice=advice,
            )
            directory.write_scores(scored)
    return FinishedRun(directory, history, best, calibration, also, frozen, advice)


def _saved_data(run: PreparedRun) -> SavedData:
    return SavedData(
        splits=run.audit.splits,
        overlaps=tuple(run.audit.overlaps),
        findings=tuple(run.audit.findings),
        reports=run.audit.reports,
        long_texts=run.long_texts,
        held_out=None if run.held_out is None else run.held_out.saved(),
    )


def _score_also(run: PreparedRun, signature: ModelSignature) -> dict[str, Scores]:
    """Scores the best weights on the rows that nothing was chosen by."""
    return {name: score_unchosen(run, name, run.classifier, signature) for name in run.also_scored}


def resolved_settings(run: PreparedRun) -> Settings:
    """Returns every setting under its flag's name, as `run.toml` holds them; unset and empty ones are left out.

    What was chosen for the user is written out, paths stay as they were given, and `overwrite` is left out: to repeat a
    run must not replace it.
    """
    settings = run.settings
    device = run.classifier.device
    merged = asdict(settings) | asdict(run.config)
    del merged["reasons"]  # not a setting: what was chosen is
    merged |= {
        "out": str(settings.out),
        "metric": run.signature.metrics[0] if run.validation is not None else None,
        "precision": name_of(choose_precision(run.config.precision, device)),
        "device": device.type,
        "overwrite": None,
        # Left out where it is not set, as sweeps and studies from before it was there have it.
        "skip_probe": settings.skip_probe or None,
        "keep_head": settings.keep_head or None,
    }
    # An empty list in TOML would come back as a list with an empty list in it.
    return {
        name.replace("_", "-"): list(value) if isinstance(value, tuple) else value
        for name, value in merged.items()
        if value is not None and value != ()
    }
