"""`bertune train`."""

from typing import Annotated

from cyclopts import Parameter

from bertune.cli.options import refuse_both
from bertune.experiments.seed_settings import SeedSettings
from bertune.training.config import TrainingConfig
from bertune.training.run_settings import RunSettings


def train(
    settings: Annotated[RunSettings, Parameter(name="*")],
    config: Annotated[TrainingConfig, Parameter(name="*")] = TrainingConfig(),  # noqa: B008 (frozen)
    seeds: Annotated[SeedSettings, Parameter(name="*")] = SeedSettings(),  # noqa: B008 (frozen)
    *,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> None:
    """Fine-tune a pretrained encoder on a table of labelled texts.

    Args:
        settings: what to read and write.
        config: how to train.
        seeds: whether to train several seeds, as one result.
        json: print one JSON document with the result.
        quiet: print nothing but the result and errors.
        verbose: print more of the data, the encoder, how scores were found, and the score of every label.
    """
    refuse_both(quiet=quiet, verbose=verbose)
    if seeds.seeds is None:
        _train_once(settings, config, json=json, quiet=quiet, verbose=verbose)
    else:
        _train_seeds(settings, config, seeds, json=json, quiet=quiet, verbose=verbose)


def _train_once(settings: RunSettings, config: TrainingConfig, *, json: bool, quiet: bool, verbose: bool) -> None:
    from contextlib import nullcontext

    from bertune.cli.progress import FetchingProgress
    from bertune.cli.results import finished_lines, finished_values
    from bertune.cli.terminal import keep_quiet, say, show, show_json
    from bertune.reports.run_report import write_report
    from bertune.training.prepare import prepare
    from bertune.training.run import execute
    from bertune.training.training_progress import TrainingProgress

    with FetchingProgress(enabled=not quiet) as fetching:
        tell = keep_quiet if quiet else say
        prepared = prepare(settings, config, say=tell, verbose=verbose, on_fetch=fetching.show)
    with nullcontext() if quiet else TrainingProgress() as progress:
        finished = execute(prepared, callback=progress)
    report = write_report(finished.directory.path)
    if json:
        show_json(finished_values(finished) | {"report": str(report)})
    else:
        show([*finished_lines(finished, verbose=verbose), f"report: {report}"])


def _train_seeds(
    settings: RunSettings, config: TrainingConfig, seeds: SeedSettings, *, json: bool, quiet: bool, verbose: bool
) -> None:
    from bertune.cli.progress import FetchingProgress, SeedsProgress
    from bertune.cli.study_results import study_lines, study_values
    from bertune.cli.terminal import keep_quiet, say, show, show_json
    from bertune.experiments.study import execute_study, prepare_study
    from bertune.reports.run_report import write_report

    tell = keep_quiet if quiet else say
    with FetchingProgress(enabled=not quiet) as fetching:
        prepared = prepare_study(settings, config, seeds, say=tell, verbose=verbose, on_fetch=fetching.show)
    with SeedsProgress(len(prepared.seeds), enabled=not quiet) as progress:
        finished = execute_study(prepared, say=tell, callback_of=progress.callback_of)
    report = write_report(finished.directory.path)
    if json:
        show_json(study_values(finished) | {"report": str(report)})
    else:
        show([*study_lines(finished), f"report: {report}"])
