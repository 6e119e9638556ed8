"""`bertune sweep`."""

from typing import Annotated

from cyclopts import Parameter

from bertune.cli.options import refuse_both
from bertune.experiments.sweep_settings import SweepSettings
from bertune.training.config import TrainingConfig
from bertune.training.run_settings import RunSettings


def sweep(
    settings: Annotated[RunSettings, Parameter(name="*")],
    search: Annotated[SweepSettings, Parameter(name="*", consume_multiple=True)] = SweepSettings(),  # noqa: B008 (frozen)
    config: Annotated[TrainingConfig, Parameter(name="*")] = TrainingConfig(),  # noqa: B008 (frozen)
    *,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> None:
    """Search settings of training: many runs, poor ones stopped early, the best model by validation kept.

    Every trial has the schedule of its whole length; a rung is the end of an epoch at which trials are compared. The
    test split is not even opened. The same command goes on where it was interrupted, and with more --trials it runs
    more. Needs optuna: pip install "bertune[sweep]".

    Args:
        settings: what to read and write, for all trials.
        search: what is searched.
        config: how to train, for all trials, but for what is searched.
        json: print one JSON document with all trials.
        quiet: print nothing but the result and errors.
        verbose: print more of the data and the encoder.
    """
    from bertune.cli.progress import FetchingProgress
    from bertune.cli.sweep_results import TrialProgress, sweep_lines, sweep_values
    from bertune.cli.terminal import keep_quiet, say, show, show_json
    from bertune.experiments.search import run_sweep
    from bertune.experiments.sweep_picture import draw_sweep

    refuse_both(quiet=quiet, verbose=verbose)
    tell = keep_quiet if quiet else say
    with FetchingProgress(enabled=not quiet) as fetching:
        watch = TrialProgress(search, enabled=not quiet)
        finished = run_sweep(settings, config, search, say=tell, watch=watch, verbose=verbose, on_fetch=fetching.show)
    draw_sweep(finished)
    if json:
        show_json(sweep_values(finished))
    else:
        show(sweep_lines(finished))
