"""`bertune train`."""

from typing import Annotated

from cyclopts import Group, Parameter

from bertune.training.config import TrainingConfig
from bertune.training.run_settings import RunSettings

_FILES = Group("What is read and written", sort_key=1)
_TRAINING = Group("Training", sort_key=2)


def train(
    settings: Annotated[RunSettings, Parameter(name="*", group=_FILES)],
    config: Annotated[TrainingConfig, Parameter(name="*", group=_TRAINING)] = TrainingConfig(),  # noqa: B008 (frozen)
    *,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Fine-tune a pretrained encoder on a table of labelled texts.

    Args:
        settings: what to read and write.
        config: how to train.
        json: print one JSON document with the result.
        quiet: print nothing but the result and errors.
    """
    from contextlib import nullcontext

    from bertune.cli.fetching import FetchingProgress
    from bertune.cli.progress import TrainingProgress
    from bertune.cli.results import finished_lines, finished_values
    from bertune.cli.terminal import keep_quiet, say, show, show_json
    from bertune.reports.report import write_report
    from bertune.training.run import execute, prepare

    with FetchingProgress(enabled=not quiet) as fetching:
        prepared = prepare(settings, config, say=keep_quiet if quiet else say, on_fetch=fetching.show)
    with nullcontext() if quiet else TrainingProgress() as progress:
        finished = execute(prepared, observer=progress)
    report = write_report(finished.directory.path)
    if json:
        show_json(finished_values(finished) | {"report": str(report)})
    else:
        show([*finished_lines(finished), f"report: {report}"])
