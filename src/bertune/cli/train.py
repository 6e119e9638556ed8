"""`bertune train`: one run, several seeds as one result, or folds."""

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bertune.cli.options import refuse_both
from bertune.cli.terminal import keep_quiet, say, show, show_json
from bertune.cli.train_output import TrainOutput
from bertune.errors import ConfigError
from bertune.experiments.fold_settings import FoldSettings
from bertune.experiments.seed_settings import SeedSettings
from bertune.system.hinted_values import to_json
from bertune.system.json_file import JsonObject
from bertune.system.process_group import ALONE, ProcessGroup
from bertune.system.torchrun import WAITS, Launch
from bertune.training.checkpoint_settings import CheckpointSettings
from bertune.training.config import TrainingConfig
from bertune.training.run_settings import RunSettings
from bertune.wording.counts import counted
from bertune.wording.metric_text import epoch_text, metric_name, metric_text

# They import torch, which the help need not wait for.
if TYPE_CHECKING:
    from bertune.experiments.study import FinishedStudy
    from bertune.training.prepare import PreparedRun
    from bertune.training.run import FinishedRun, ResumePoint


def train(  # noqa: PLR0913 (settings by what they are about)
    settings: Annotated[RunSettings, Parameter(name="*")],
    config: Annotated[TrainingConfig, Parameter(name="*")] = TrainingConfig(),  # noqa: B008 (frozen)
    seeds: Annotated[SeedSettings, Parameter(name="*")] = SeedSettings(),  # noqa: B008 (frozen)
    folds: Annotated[FoldSettings, Parameter(name="*")] = FoldSettings(),  # noqa: B008 (frozen)
    checkpoints: Annotated[CheckpointSettings, Parameter(name="*")] = CheckpointSettings(),  # noqa: B008 (frozen)
    *,
    resume: Path | None = None,
    certify_resume: bool = False,
    process_timeout: float = WAITS,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> None:
    """Fine-tune a pretrained encoder on a table of labelled texts.

    Args:
        settings: what to read and write.
        config: how to train.
        seeds: whether to train several seeds, as one result.
        folds: whether the score comes from cross-validation.
        checkpoints: how the run is saved meanwhile.
        resume: resume the run in this folder, which was interrupted or killed; its settings are its own, so that no
            other is given.
        certify_resume: train once more, kill that run twice, resume it, and compare: a certificate that the run can
            be resumed bit for bit, which inspect and the report show.
        process_timeout: seconds that processes of torchrun wait for one of them before the run ends; longer than what
            one does alone takes, such as a download or writing the model.
        json: print one JSON document with the result.
        quiet: print nothing but the result and errors.
        verbose: print more of the data, the encoder, how scores were found, and the score of every label.
    """
    refuse_both(quiet=quiet, verbose=verbose)
    if resume is not None:  # typed it is a verb of its own
        raise ConfigError("--resume is for the command line alone", hint=f"bertune train --resume {resume}")
    folds.refuse_contradictions(settings, with_seeds=seeds.seeds is not None)
    launch = Launch.of(os.environ)
    if launch is not None and launch.is_several:
        _refuse_several_processes(seeds, folds, certify=certify_resume)
    if folds.folds is not None:
        if certify_resume:
            raise ConfigError("--certify-resume is about one run", hint="leave --folds out")
        from bertune.cli.train_folds import train_folds

        train_folds(settings, config, folds, checkpoints, TrainOutput(json=json, quiet=quiet, verbose=verbose))
        return
    if seeds.seeds is not None:
        if certify_resume:
            raise ConfigError("--certify-resume is about one run", hint="leave --seeds out")
        _train_seeds(settings, config, seeds, checkpoints, TrainOutput(json=json, quiet=quiet, verbose=verbose))
        return
    from bertune.api.resumed_run import prepare_interrupted
    from bertune.cli.progress import FetchingProgress
    from bertune.system.joined_group import joined
    from bertune.training.prepare import prepare

    with joined(launch, device=settings.device, timeout=process_timeout) as group:
        quiet = quiet or not group.is_first
        tell = keep_quiet if quiet else say
        begun = begun_before(launch, settings.out, group)
        with FetchingProgress(enabled=not quiet) as fetching:
            if begun is not None:
                prepared, resume_point = prepare_interrupted(
                    begun, say=tell, verbose=verbose, on_fetch=fetching.show, group=group
                )
            else:
                # The folder is the first process's alone.
                own = settings if group.is_first else replace(settings, overwrite=True)
                prepared = group.in_turn(
                    lambda: prepare(own, config, say=tell, verbose=verbose, on_fetch=fetching.show)
                )
                prepared = replace(prepared, settings=replace(prepared.settings, overwrite=settings.overwrite))
                prepared, resume_point = replace(prepared, checkpoints=checkpoints), None
        output = TrainOutput(json=json, quiet=quiet, verbose=verbose)
        train_prepared(prepared, resume_point, output, certify=certify_resume, group=group)


def begun_before(launch: Launch | None, out: Path, group: ProcessGroup) -> Path | None:
    """Finds the run that the processes trained before `torchrun` started them again; None for the first start.

    Args:
        launch: of the processes; None without `torchrun`.
        out: the folder of the run.
        group: of the processes.
    """
    from bertune.training.run_directory import begun_by

    # Of several machines only the one where a process has failed counts a restart.
    if launch is None or not group.any(launch.restarts > 0):
        return None
    return group.from_first(begun_by(launch.run_id, out) if group.is_first else None)


def _refuse_several_processes(seeds: SeedSettings, folds: FoldSettings, *, certify: bool) -> None:
    if folds.folds is not None:
        raise ConfigError(
            "torchrun trains one run in several processes; --folds trains several, one after another",
            hint="leave torchrun out; the folds use all threads",
        )
    if seeds.seeds is not None:
        raise ConfigError(
            "torchrun trains one run in several processes; --seeds trains several, each in a process of its own",
            hint="leave torchrun out: bertune train --seeds 5 --parallel-seeds 2",
        )
    if certify:
        raise ConfigError("--certify-resume is about a run of one process", hint="leave it out, or torchrun")


def train_prepared(
    prepared: "PreparedRun",
    resume_point: "ResumePoint | None",
    output: TrainOutput,
    *,
    certify: bool = False,
    group: ProcessGroup = ALONE,
) -> None:
    """Trains one run, and prints what it came to.

    Args:
        prepared: the run.
        resume_point: where it is resumed; None begins it.
        output: what is printed.
        certify: whether to prove that the run can be resumed.
        group: of the processes that train it; all but the first print nothing.
    """
    from bertune.experiments.resume_certificate import certify_resume
    from bertune.reports.run_report import write_report
    from bertune.training.run import execute, follow
    from bertune.training.training_progress import TrainingProgress

    if not group.is_first:
        follow(prepared, group)
        return
    tell = keep_quiet if output.quiet else say
    with nullcontext() if output.quiet else TrainingProgress() as progress:
        finished = execute(prepared, callback=progress, resume_point=resume_point, say=tell, group=group)
    lines = []
    if certify:
        lines.append(certify_resume(finished.directory, steps=len(finished.history.steps), say=tell).sentence())
    report = write_report(finished.directory.path)
    if output.json:
        show_json(finished_values(finished) | {"report": str(report)})
    else:
        show([*_finished_lines(finished, verbose=output.verbose), *lines, f"report: {report}"])


def _finished_lines(finished: "FinishedRun", *, verbose: bool = False) -> list[str]:
    """Returns what a run came to, for people; `verbose` as in `Scores.lines`."""
    from bertune.training.advice import advice_lines

    best = finished.best
    lines = advice_lines(finished.advice)
    lines += [""] if lines else []
    if best.scores is not None:
        epochs = epoch_text(finished.history.evaluations[-1].epoch)
        lines.append(f"validation, {_place(finished)} of {epochs} (chosen on these rows):")
        lines += best.scores.lines(verbose=verbose)
    if finished.frozen is not None:
        lines.append(finished.frozen.line())
    if finished.calibration is not None:
        lines += ["", *finished.calibration.lines()]
    for name, scores in finished.also.items():
        lines += [f"{name} (nothing was chosen by these rows):", *scores.lines(verbose=verbose)]
    if finished.history.stopped_early:
        what = "evaluation" if finished.history.evaluates_within_epochs else "epoch"
        lines.append(f"stopped early: no better {what} after {_place(finished)}")
    seconds = sum(epoch.train_seconds for epoch in finished.history.epochs)
    rate = sum(step.examples for step in finished.history.steps) / seconds
    lines.append(f"trained {counted(len(finished.history.steps), 'step')} in {seconds:.0f} s, {rate:.0f} examples/s")
    lines.append(f"model: {finished.directory.model}")
    return lines


def _place(finished: "FinishedRun") -> str:
    """Says which evaluation is kept: `epoch 2`, or `step 57, epoch 1.50` where some were within epochs."""
    best = finished.best
    epoch = f"epoch {epoch_text(best.epoch)}"
    return f"step {best.step:,}, {epoch}" if finished.history.evaluates_within_epochs else epoch


def finished_values(finished: "FinishedRun") -> JsonObject:
    """Returns what a run came to, for programs."""
    best = finished.best
    return {
        "run": str(finished.directory.path),
        "model": str(finished.directory.model),
        "best_epoch": best.epoch,
        **({"best_step": best.step} if finished.history.evaluates_within_epochs else {}),
        "validation": None if best.scores is None else best.scores.to_dict(),
        "calibration": None if finished.calibration is None else finished.calibration.to_dict(),
        **{name: scores.to_dict() for name, scores in finished.also.items()},
        "frozen_features": None if finished.frozen is None else to_json(finished.frozen.saved()),
        "advice": [to_json(advice) for advice in finished.advice],
        "steps": len(finished.history.steps),
        "train_seconds": sum(epoch.train_seconds for epoch in finished.history.epochs),
        "stopped_early": finished.history.stopped_early,
    }


def _train_seeds(
    settings: RunSettings,
    config: TrainingConfig,
    seeds: SeedSettings,
    checkpoints: CheckpointSettings,
    output: TrainOutput,
) -> None:
    from bertune.cli.progress import FetchingProgress, SeedsProgress
    from bertune.experiments.study import execute_study, prepare_study
    from bertune.reports.run_report import write_report

    quiet, tell = output.quiet, keep_quiet if output.quiet else say
    with FetchingProgress(enabled=not quiet) as fetching:
        study = prepare_study(settings, config, seeds, say=tell, verbose=output.verbose, on_fetch=fetching.show)
    study = replace(study, run=replace(study.run, checkpoints=checkpoints))
    with SeedsProgress(len(study.seeds), enabled=not quiet) as progress:
        finished = execute_study(study, say=tell, callback_of=progress.callback_of)
    report = write_report(finished.directory.path)
    if output.json:
        show_json(_study_values(finished) | {"report": str(report)})
    else:
        show([*_study_lines(finished), f"report: {report}"])


def _study_lines(finished: "FinishedStudy") -> list[str]:
    """Returns what a study came to, for people."""
    summary, metric = finished.summary, finished.metric
    spoken, lines = metric_name(metric), summary.lines()
    best = next(result for result in summary.results if result.seed == summary.best)
    alone = metric_text(metric, best.metrics[metric])
    for average in finished.averages:
        if len(average.seeds) == 1:
            lines.append(f"{average.recipe}: no other seed's weights help those of seed {average.seeds[0]}")
            continue
        members = ", ".join(str(seed) for seed in average.seeds)
        value = metric_text(metric, average.scores.value(metric))
        lines.append(f"{average.recipe} (seeds {members}): {spoken} {value}, the best seed alone {alone}")
    if finished.kept is not None:
        members = ", ".join(str(seed) for seed in finished.kept.seeds)
        lines.append(f"model: {finished.directory.model}, the {finished.kept.recipe} of seeds {members}")
    else:
        lines.append(f"model: {finished.directory.model}, that of seed {best.seed}, the best by validation {spoken}")
    test = "was not used" if finished.test is None else "was scored once, at the end"
    lines.append(
        f"chosen on validation alone, test {test}; the best seed's validation score is biased "
        "upward by selection; expect the mean"
    )
    if finished.test is not None:
        lines += ["", "test (nothing was chosen by these rows):", *finished.test.lines()]
    return lines


def _study_values(finished: "FinishedStudy") -> JsonObject:
    """Returns what a study came to, for programs."""
    summary = finished.summary
    kept = finished.kept
    return {
        "study": str(finished.directory.path),
        "model": str(finished.directory.model),
        "kept": {"recipe": "best seed", "seeds": [summary.best]} if kept is None else to_json(kept.saved()),
        "chosen_by": f"validation {finished.metric}",
        "test": "not used" if finished.test is None else finished.test.to_dict(),
        "summary": to_json(summary.saved()),
        "averages": [to_json(average.saved()) for average in finished.averages],
        "results": [to_json(result) for result in summary.results],
    }
