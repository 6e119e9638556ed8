"""`bertune train`."""

from typing import Annotated

from cyclopts import Group, Parameter

from bertune.studies.seed_settings import SeedSettings
from bertune.training.config import TrainingConfig
from bertune.training.recipe import RecipeName, recipe_settings
from bertune.training.run_settings import RunSettings

_FILES = Group("What is read and written", sort_key=1)
_TRAINING = Group("Training", sort_key=2)
_SEEDS = Group("Several seeds", sort_key=3)


def train(
    settings: Annotated[RunSettings, Parameter(name="*", group=_FILES)],
    config: Annotated[TrainingConfig, Parameter(name="*", group=_TRAINING)] = TrainingConfig(),  # noqa: B008 (frozen)
    seeds: Annotated[SeedSettings, Parameter(name="*", group=_SEEDS)] = SeedSettings(),  # noqa: B008 (frozen)
    *,
    recipe: Annotated[RecipeName | None, Parameter(group=_TRAINING)] = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Fine-tune a pretrained encoder on a table of labelled texts.

    Args:
        settings: what to read and write.
        config: how to train.
        seeds: whether to train several seeds, as one result.
        recipe: settings that go together, below flags, environment and file: lesson is what the lesson does, stable is
            for small data.
        json: print one JSON document with the result.
        quiet: print nothing but the result and errors.
    """
    from bertune.cli.terminal import keep_quiet, say

    if recipe is not None:
        (keep_quiet if quiet else say)(_recipe_line(recipe, config))
    if seeds.seeds is None:
        _train_once(settings, config, json=json, quiet=quiet)
    else:
        _train_seeds(settings, config, seeds, json=json, quiet=quiet)


def _train_once(settings: RunSettings, config: TrainingConfig, *, json: bool, quiet: bool) -> None:
    from contextlib import nullcontext

    from bertune.cli.fetching import FetchingProgress
    from bertune.cli.progress import TrainingProgress
    from bertune.cli.results import finished_lines, finished_values
    from bertune.cli.terminal import keep_quiet, say, show, show_json
    from bertune.reports.report import write_report
    from bertune.training.prepare import prepare
    from bertune.training.run import execute

    with FetchingProgress(enabled=not quiet) as fetching:
        prepared = prepare(settings, config, say=keep_quiet if quiet else say, on_fetch=fetching.show)
    with nullcontext() if quiet else TrainingProgress() as progress:
        finished = execute(prepared, observer=progress)
    report = write_report(finished.directory.path)
    if json:
        show_json(finished_values(finished) | {"report": str(report)})
    else:
        show([*finished_lines(finished), f"report: {report}"])


def _train_seeds(
    settings: RunSettings, config: TrainingConfig, seeds: SeedSettings, *, json: bool, quiet: bool
) -> None:
    from bertune.cli.fetching import FetchingProgress
    from bertune.cli.progress import SeedsProgress
    from bertune.cli.study_results import study_lines, study_values
    from bertune.cli.terminal import keep_quiet, say, show, show_json
    from bertune.reports.report import write_report
    from bertune.studies.study import execute_study, prepare_study

    tell = keep_quiet if quiet else say
    with FetchingProgress(enabled=not quiet) as fetching:
        prepared = prepare_study(settings, config, seeds, say=tell, on_fetch=fetching.show)
    with SeedsProgress(len(prepared.seeds), enabled=not quiet) as progress:
        finished = execute_study(prepared, say=tell, observer_of=progress.observer_of)
    report = write_report(finished.directory.path)
    if json:
        show_json(study_values(finished) | {"report": str(report)})
    else:
        show([*study_lines(finished), f"report: {report}"])


def _recipe_line(recipe: RecipeName, config: TrainingConfig) -> str:
    """Says what a recipe comes to, with what was set otherwise."""
    settings = {name: getattr(config, name.replace("-", "_")) for name in recipe_settings(recipe)}
    return f"recipe {recipe}: " + ", ".join(f"{name} {value}" for name, value in settings.items())
