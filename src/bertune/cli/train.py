"""`bertune train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bertune.errors import ConfigError
from bertune.experiments.seed_settings import SeedSettings
from bertune.training.checkpoint_settings import CheckpointSettings
from bertune.training.config import TrainingConfig
from bertune.training.run_settings import RunSettings

# They import torch, which the help need not wait for.
if TYPE_CHECKING:
    from bertune.experiments.study import PreparedStudy
    from bertune.training.prepare import PreparedRun
    from bertune.training.run import GoesOn


def train(  # noqa: PLR0913 (settings by what they are about)
    settings: Annotated[RunSettings, Parameter(name="*")],
    config: Annotated[TrainingConfig, Parameter(name="*")] = TrainingConfig(),  # noqa: B008 (frozen)
    seeds: Annotated[SeedSettings, Parameter(name="*")] = SeedSettings(),  # noqa: B008 (frozen)
    checkpoints: Annotated[CheckpointSettings, Parameter(name="*")] = CheckpointSettings(),  # noqa: B008 (frozen)
    *,
    resume: Path | None = None,
    certify_resume: bool = False,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> None:
    """Fine-tune a pretrained encoder on a table of labelled texts.

    Args:
        settings: what to read and write.
        config: how to train.
        seeds: whether to train several seeds, as one result.
        checkpoints: how the run is saved meanwhile.
        resume: go on with the run in this folder, which was interrupted or killed; its settings are its own, so that no
            other is given.
        certify_resume: train once more, kill that run twice, let it go on, and compare: a certificate that the run can
            be resumed bit for bit, which inspect and the report show.
        json: print one JSON document with the result.
        quiet: print nothing but the result and errors.
        verbose: print more of the data, the encoder, how scores were found, and the score of every label.
    """
    from dataclasses import replace

    from bertune.cli.fetching import FetchingProgress
    from bertune.cli.terminal import keep_quiet, refuse_both, say
    from bertune.experiments.study import prepare_study
    from bertune.training.prepare import prepare

    refuse_both(quiet=quiet, verbose=verbose)
    if resume is not None:  # typed it is a verb of its own
        raise ConfigError("--resume is for the command line alone", hint=f"bertune train --resume {resume}")
    tell = keep_quiet if quiet else say
    if seeds.seeds is None:
        with FetchingProgress(enabled=not quiet) as fetching:
            prepared = prepare(settings, config, say=tell, verbose=verbose, on_fetch=fetching.show)
        prepared = replace(prepared, checkpoints=checkpoints)
        train_prepared(prepared, None, certify=certify_resume, json=json, quiet=quiet, verbose=verbose)
    else:
        if certify_resume:
            raise ConfigError("--certify-resume is about one run", hint="leave --seeds out")
        with FetchingProgress(enabled=not quiet) as fetching:
            study = prepare_study(settings, config, seeds, say=tell, verbose=verbose, on_fetch=fetching.show)
        study = replace(study, run=replace(study.run, checkpoints=checkpoints))
        _train_seeds(study, json=json, quiet=quiet)


def train_prepared(
    prepared: "PreparedRun",
    goes_on: "GoesOn | None",
    *,
    json: bool,
    quiet: bool,
    verbose: bool,
    certify: bool = False,
) -> None:
    """Trains one run, and prints what it came to.

    Args:
        prepared: the run.
        goes_on: what it goes on with, where it was interrupted.
        json: see `train`, as for the next two.
        quiet: nothing but the result.
        verbose: more of it.
        certify: whether to prove that the run can be resumed.
    """
    from contextlib import nullcontext

    from bertune.cli.results import finished_lines, finished_values
    from bertune.cli.terminal import keep_quiet, say, show, show_json
    from bertune.experiments.resume_certificate import certify_resume
    from bertune.reports.run_report import write_report
    from bertune.training.run import execute
    from bertune.training.training_progress import TrainingProgress

    with nullcontext() if quiet else TrainingProgress() as progress:
        finished = execute(prepared, callback=progress, goes_on=goes_on, say=keep_quiet if quiet else say)
    lines = []
    if certify:
        tell = keep_quiet if quiet else say
        lines.append(certify_resume(finished.directory, steps=len(finished.history.steps), say=tell).sentence())
    report = write_report(finished.directory.path)
    if json:
        show_json(finished_values(finished) | {"report": str(report)})
    else:
        show([*finished_lines(finished, verbose=verbose), *lines, f"report: {report}"])


def _train_seeds(study: "PreparedStudy", *, json: bool, quiet: bool) -> None:
    from bertune.cli.progress import SeedsProgress
    from bertune.cli.study_results import study_lines, study_values
    from bertune.cli.terminal import keep_quiet, say, show, show_json
    from bertune.experiments.study import execute_study
    from bertune.reports.run_report import write_report

    with SeedsProgress(len(study.seeds), enabled=not quiet) as progress:
        finished = execute_study(study, say=keep_quiet if quiet else say, callback_of=progress.callback_of)
    report = write_report(finished.directory.path)
    if json:
        show_json(study_values(finished) | {"report": str(report)})
    else:
        show([*study_lines(finished), f"report: {report}"])
