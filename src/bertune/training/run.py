"""A whole run: from a table and a pretrained encoder to a model folder with scores."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from bertune.checkpoints.adapter_folder import write_adapter
from bertune.evaluation.calibration import Calibration
from bertune.evaluation.regression_baseline import RegressionBaseline
from bertune.evaluation.saved_scores import SavedRegression
from bertune.evaluation.scores import Scores
from bertune.system.hinted_values import to_json
from bertune.system.process_group import ALONE, ProcessGroup
from bertune.training.adapters import Adapters, adapted_weights
from bertune.training.advice import Advice
from bertune.training.also_scored import score_unchosen
from bertune.training.beside_teacher import BesideTeacher, beside_teacher
from bertune.training.best_evaluation import BestEvaluation
from bertune.training.callback import Callback, OnBest
from bertune.training.dynamics import Dynamics
from bertune.training.fingerprint import arithmetic_of, check_same_in_all, fingerprint_of
from bertune.training.follower import Follower
from bertune.training.history import Evaluation, History
from bertune.training.journal import Journal
from bertune.training.keeper import Keeper
from bertune.training.loop import FitOptions, fit_objective
from bertune.training.objective import Objective
from bertune.training.prepare import PreparedRun
from bertune.training.resolved_settings import resolved_settings
from bertune.training.run_advice import advice_on, baselines_of, beside_baselines, saved_baselines
from bertune.training.run_checkpoints import KeptAs, RunCheckpoints
from bertune.training.run_directory import RunDirectory
from bertune.training.run_rows import write_dynamics
from bertune.training.run_state import RunState
from bertune.training.saved_run import RunScores, SavedData
from bertune.training.teacher_answers import taught, with_answers
from bertune.training.tensorboard import TensorBoard

Say = Callable[[str], None]


def _say_nothing(line: str) -> None:
    """Takes a line and shows nothing."""


@dataclass(frozen=True)
class FinishedRun:
    """What a run came to.

    Args:
        directory: where everything is.
        history: steps, evaluations and epochs.
        best: the evaluation whose weights are in the model folder, with the scores of that model: by its temperature
            and thresholds.
        calibration: how temperature and thresholds were found; None for values and without validation data.
        also: its scores on rows that nothing was chosen by (MNLI's second set, test), by the name of the split.
        baselines: the regressions that it is held against, by their names in `RunScores`.
        advice: what to try instead; nothing for a run that has learned.
        teacher: it beside its teacher; None without one.
    """

    directory: RunDirectory
    history: History
    best: Evaluation
    calibration: Calibration | None = None
    also: dict[str, Scores] = field(default_factory=dict)
    baselines: dict[str, SavedRegression] = field(default_factory=dict)
    advice: tuple[Advice, ...] = ()
    teacher: BesideTeacher | None = None


@dataclass(frozen=True)
class ResumePoint:
    """Where an interrupted run is resumed.

    Args:
        state: of its last checkpoint; None where it had none yet, so that it begins again.
    """

    state: RunState | None


def execute(
    run: PreparedRun,
    *,
    callback: Callback | None = None,
    resume_point: ResumePoint | None = None,
    say: Say = _say_nothing,
    group: ProcessGroup = ALONE,
) -> FinishedRun:
    """Trains, and writes the run folder.

    Args:
        run: what was prepared.
        callback: watches, beside the journal.
        resume_point: where the folder holds this run, interrupted; None begins it.
        say: told what is worth a line, beside what the callback shows.
        group: of the processes that train it; this is the first, and the others `follow`.

    Raises:
        ConfigError: the folder holds something else.
        DivergedError: losses or gradients are not finite; the model folder then holds the best so far, if there was
            one.
        ResourceError: not enough memory, or no room for a checkpoint; the one before is as it was.
        StoppedError: a run with checkpoints was asked to stop, by Ctrl-C or SIGTERM; all up to there is saved.
    """
    _refuse_other_runs(run, group)
    directory = RunDirectory(run.settings.out)
    state = None if resume_point is None else resume_point.state
    keeps = run.checkpoints is not None and run.checkpoints.keep_checkpoints
    with (
        directory.started(
            overwrite=run.settings.overwrite, resumes=resume_point is not None, keeps=keeps, launch=group.launch
        ),
        ExitStack() as kept_open,
    ):
        if resume_point is None:
            # First, since it makes the folder a run: one that is killed right after can be replaced.
            directory.write_settings(resolved_settings(run))
        elif state is None:
            directory.journal.unlink(missing_ok=True)
        after = None if state is None else state.journal
        tells_evaluations = run.config.evaluate_every is not None
        journal = kept_open.enter_context(Journal(directory.journal, after=after, tells_evaluations=tells_evaluations))
        if state is None:
            directory.write_json("data.json", to_json(_saved_data(run)))
            directory.write_json("receipt.json", run.receipt.to_dict())
        curves = _curves(run, directory, resume_point)
        if curves is not None:
            kept_open.enter_context(curves)
        group.from_first(None if state is None else state.fitting)
        start = None
        if run.config.lora is not None:  # before the weights of a checkpoint are put in their place
            start = {name: weight.detach().clone() for name, weight in adapted_weights(run.classifier).items()}
        fingerprinted, run = run, taught(run, directory.path, say=say)
        if run.teaching is not None and run.train.soft is not None:
            group.from_first(run.train.soft.values)
        baselines = baselines_of(run) if run.baselines is None else run.baselines
        best = BestEvaluation(run, directory)
        if state is not None:
            best.keep_again(state.fitting)
        keeper = _keeper(fingerprinted, directory, journal, state, say=say, group=group)
        kept_open.enter_context(keeper.heeding())
        dynamics = Dynamics(len(run.train), run.signature.kind)
        history = fit_objective(
            run.classifier,
            run.train,
            run.validation,
            objective_of(run),
            run.config,
            FitOptions(
                callbacks=(OnBest(best.keep), *filter(None, (journal, curves, callback))),
                dynamics=dynamics,
                verbose=False,
                keeper=keeper,
                group=group,
                adapters_start=start,
                on_adapters=partial(_keep_adapter, run, directory) if run.settings.keep_adapter else None,
            ),
        )
        with keeper.finishing():
            write_dynamics(directory.path, run.describe["train"], run.train, dynamics, run.signature)
            return _scored(run, directory, history, best, baselines, group)


def _keep_adapter(run: PreparedRun, directory: RunDirectory, adapters: Adapters) -> None:
    write_adapter(
        directory.adapter,
        run.classifier,
        adapters.updates,
        adapters.sizes,
        base_model=run.signature.base_model,
    )


def follow(run: PreparedRun, group: ProcessGroup) -> None:
    """Takes part in a run whose first process `execute`s it; writes and shows nothing.

    Args:
        run: what was prepared, the same as there.
        group: of the processes.

    Raises:
        BertuneError: what the first process raises too, or one that was lost.
    """
    _refuse_other_runs(run, group)
    state = group.from_first(None)
    if run.teaching is not None:
        run = with_answers(run, group.from_first(np.empty((0, 0), np.float32)))
    saves = run.checkpoints is not None and run.checkpoints.saves
    keeper = Follower(group, state) if saves else Keeper()
    with keeper.heeding():
        fit_objective(
            run.classifier,
            run.train,
            run.validation,
            objective_of(run),
            run.config,
            FitOptions(
                dynamics=Dynamics(len(run.train), run.signature.kind), verbose=False, keeper=keeper, group=group
            ),
        )
        for name in run.also_scored:
            score_unchosen(run, name, run.classifier, run.signature, group)


def objective_of(run: PreparedRun) -> Objective:
    """Returns what a run minimizes."""
    return replace(
        Objective.of(run.signature), distillation=None if run.teaching is None else run.teaching.distillation
    )


def _refuse_other_runs(run: PreparedRun, group: ProcessGroup) -> None:
    if not group.is_alone:
        prints = group.gather(fingerprint_of(run, processes=group.size))
        group.in_turn(lambda: check_same_in_all(prints))


def _keeper(
    run: PreparedRun,
    directory: RunDirectory,
    journal: Journal,
    state: RunState | None,
    *,
    say: Say,
    group: ProcessGroup,
) -> Keeper:
    if run.checkpoints is None or not run.checkpoints.saves:
        return Keeper()
    if state is None:
        fingerprint = fingerprint_of(run, processes=group.size)
    else:  # it was compared, and the classifier has other weights by now
        fingerprint = replace(state.fingerprint, arithmetic=arithmetic_of(run, group.size))
    kept_as = KeptAs(directory.checkpoints, fingerprint, journal)
    return RunCheckpoints(kept_as, run.checkpoints, state=state, say=say, group=group)


def _curves(run: PreparedRun, directory: RunDirectory, resume_point: ResumePoint | None) -> TensorBoard | None:
    """Opens the curves; of a run that goes on they are drawn again, up to its checkpoint."""
    if not run.settings.tensorboard:
        return None
    if resume_point is not None:
        shutil.rmtree(directory.tensorboard, ignore_errors=True)
    curves = TensorBoard(directory.tensorboard)
    if resume_point is not None and resume_point.state is not None:
        curves.draw(resume_point.state.fitting.history)
    return curves


def _scored(
    run: PreparedRun,
    directory: RunDirectory,
    history: History,
    kept: BestEvaluation,
    baselines: tuple[RegressionBaseline, ...],
    group: ProcessGroup,
) -> FinishedRun:
    """Scores the model that is kept on what nothing was chosen by, and writes what all came to."""
    best = kept.result or history.best
    beside = beside_baselines(baselines, best, kept.signature)
    held = saved_baselines(baselines, beside)
    advice = advice_on(run, history, best, beside)
    also = {name: score_unchosen(run, name, run.classifier, kept.signature, group) for name in run.also_scored}
    teacher = beside_teacher(run, kept.signature) if run.keeps_model else None
    if run.keeps_model and (best.scores is not None or also):
        scored = RunScores(
            **kept.place_of(best),
            validation=None if best.scores is None else best.scores.saved(),
            also={name: split.saved() for name, split in also.items()},
            frozen_features=held.get("frozen_features"),
            tf_idf=held.get("tf_idf"),
            advice=advice,
            teacher=None if teacher is None else teacher.saved(),
        )
        directory.write_scores(scored)
    return FinishedRun(directory, history, best, kept.calibration, also, held, advice, teacher)


def _saved_data(run: PreparedRun) -> SavedData:
    return SavedData(
        splits=run.audit.splits,
        overlaps=tuple(run.audit.overlaps),
        findings=tuple(run.audit.findings),
        reports=run.audit.reports,
        long_texts=run.long_texts,
        held_out=None if run.held_out is None else run.held_out.saved(),
    )
