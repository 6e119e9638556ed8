"""`bertune.resume`: an interrupted run resumes where it was, as if nothing had happened."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bertune.api.train_settings import sorted_settings
from bertune.api.trained_run import Run, run_of, say_nothing, teller
from bertune.api.training_data import TableData, TrainingData, given_data, given_split, is_in_memory
from bertune.errors import ConfigError
from bertune.fetch.download import Report
from bertune.system.process_group import ALONE, ProcessGroup
from bertune.training.interrupted_run import find_interrupted
from bertune.training.named_paths import Settings
from bertune.training.prepare import PreparedRun, Say, prepare
from bertune.training.progress_shown import watched_by
from bertune.training.run import ResumePoint, execute
from bertune.wording.printed_lines import say as say_line


def resume(
    run: str | os.PathLike[str],
    *,
    data: TrainingData | None = None,
    validation: TableData | None = None,
    test: TableData | None = None,
    quiet: bool = False,
    verbose: bool = False,
) -> Run:
    """Resumes a run of `train`, or of `bertune train`, that was interrupted or killed.

    It begins at the step of its last checkpoint; weights, scores and journal are those of a run that was never
    interrupted, bit for bit. Settings come from its `run.toml`, data from where they were.

    Args:
        run: its folder.
        data: the same training data as before, where they were in memory; a path is known.
        validation: the same, of validation data in memory.
        test: the same, of test data in memory.
        quiet: shows nothing.
        verbose: tells more of the data and the encoder.

    Returns:
        The run, as `train` returns it.

    Raises:
        ConfigError: the folder is no run, or the run has ended, is being trained, or would give another result: data,
            tokenizer, settings, versions, threads or processor have changed.
        CheckpointError: no checkpoint is whole; names the file that is damaged.
        StoppedError: it was asked to stop again.

    Example:
        >>> try:
        ...     run = bertune.resume("runs/nowhere")
        ... except bertune.ConfigError as error:
        ...     print(error)
        runs/nowhere: no such folder
    """
    if quiet and verbose:
        raise ConfigError("quiet and verbose contradict each other", hint="leave one of them out")
    frames: dict[str, Any] = {}
    if data is not None:
        frames = {name: frame for name, frame in given_data(data).frames.items() if name != "test"}
    for name, table in {"validation": validation, "test": test}.items():
        if table is not None:
            _, frames[name] = given_split(table, name)
    say = say_nothing if quiet else say_line
    prepared, resume_point = prepare_interrupted(
        Path(run), say=say, verbose=verbose, on_fetch=teller(say), frames=frames or None
    )
    with watched_by((), not quiet) as progress:
        return run_of(execute(prepared, callback=progress, resume_point=resume_point, say=say))


def prepare_interrupted(
    folder: Path,
    *,
    say: Say,
    verbose: bool = False,
    on_fetch: Report | None = None,
    frames: Mapping[str, Any] | None = None,
    group: ProcessGroup = ALONE,
) -> tuple[PreparedRun, ResumePoint]:
    """Reads and checks all that an interrupted run needs to be resumed; writes nothing.

    Args:
        folder: of the run.
        say: told each fact as a line.
        verbose: see `prepare`, as for the next two.
        on_fetch: told of downloads.
        frames: data in memory.
        group: of the processes that train it; the first alone reads its folder.

    Raises:
        BertuneError: it cannot be resumed; see `resume`.
    """
    interrupted = group.in_turn(lambda: find_interrupted(folder, say) if group.is_first else None)
    told = group.from_first(None if interrupted is None else (interrupted.settings, interrupted.start))
    assert told is not None
    run = group.in_turn(
        lambda: _prepared_again(folder, *told, say=say, verbose=verbose, on_fetch=on_fetch, frames=frames)
    )
    warning = group.in_turn(lambda: None if interrupted is None else interrupted.check_same(run, group.size))
    if warning is not None:
        say(warning)
    state = None if interrupted is None else interrupted.state
    say(f"{folder} resumes " + ("from its beginning" if state is None else f"after step {state.fitting.step:,}"))
    return run, ResumePoint(state)


def _prepared_again(
    folder: Path,
    values: Settings,
    start: Path,
    *,
    say: Say,
    verbose: bool,
    on_fetch: Report | None,
    frames: Mapping[str, Any] | None,
) -> PreparedRun:
    """Reads and checks what the settings of a run name, from the folder in which it was started."""
    settings = {name.replace("-", "_"): value for name, value in values.items()}
    for flag, split in {"data": "train", "validation": "validation", "test": "test"}.items():
        if is_in_memory(settings.get(flag)) and split not in (frames or {}):
            raise ConfigError(
                f"{folder}: its {'data' if flag == 'data' else f'{flag} data'} were in memory",
                hint=f"bertune.resume({str(folder)!r}, {flag}=…) takes the same once more",
            )
    data = str(settings.pop("data", ""))
    del settings["out"]
    given = sorted_settings(data, folder.absolute(), settings)
    # Relative paths are those of the folder in which the run was started; another machine may not have it.
    with contextlib.chdir(start if start.is_dir() else Path.cwd()):
        run = prepare(
            replace(given.run, overwrite=True),
            given.training,
            say=say,
            verbose=verbose,
            on_fetch=on_fetch,
            frames=frames,
        )
    return replace(run, settings=replace(run.settings, out=folder, overwrite=False), checkpoints=given.checkpoints)
