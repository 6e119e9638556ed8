"""`bertune train --resume RUN`: all settings are the run's own."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bertune.errors import BertuneError, ConfigError
from bertune.system.torchrun import WAITS, Launch

FLAG: Final = "--resume"
VERB: Final = "train --resume"
"""The name under which `app` knows it; nobody can type it as one word by accident."""
_WITH_VALUE: Final = ("--process-timeout",)
_OWN: Final = ("--json", "--quiet", "--verbose", "--help", "--help-all")


def as_resumed(tokens: Sequence[str]) -> list[str]:
    """Makes `train --resume RUN` one verb, since the settings that `train` cannot do without are in the folder.

    Raises:
        ConfigError: no folder is named, or another setting is.
    """
    if tokens[:1] != ["train"] or not any(token.partition("=")[0] == FLAG for token in tokens):
        return list(tokens)
    place = next(index for index, token in enumerate(tokens) if token.partition("=")[0] == FLAG)
    _, equals, folder = tokens[place].partition("=")
    rest = [*tokens[1:place], *tokens[place + (1 if equals else 2) :]]
    folder = folder if equals else next(iter(tokens[place + 1 : place + 2]), "")
    if not folder or folder.startswith("--"):
        raise ConfigError(f"{FLAG} needs the folder of the run", hint=f"bertune train {FLAG} RUN")
    left = iter(rest)
    for token in left:
        name, equals, _ = token.partition("=")
        if name in _WITH_VALUE and not equals:
            next(left, None)
        elif name not in (*_OWN, *_WITH_VALUE):
            raise ConfigError(
                f"{FLAG} takes all settings from {folder}/run.toml, so {name} cannot be given", hint=f"leave {name} out"
            )
    return [VERB, folder, *rest]


def resume(
    run: Path,
    *,
    process_timeout: float = WAITS,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> None:
    """Resume a run that was interrupted or killed, as if nothing had happened.

    Args:
        run: its folder; all settings come from there.
        process_timeout: seconds that processes of torchrun wait for one of them before the run ends.
        json: print one JSON document with the result.
        quiet: print nothing but the result and errors.
        verbose: print more of the data, the encoder, how scores were found, and the score of every label.
    """
    from bertune.api.resumed_run import prepare_interrupted
    from bertune.cli.options import refuse_both
    from bertune.cli.progress import FetchingProgress
    from bertune.cli.terminal import keep_quiet, say
    from bertune.cli.train import begun_before, train_prepared
    from bertune.cli.train_output import TrainOutput
    from bertune.system.joined_group import joined

    refuse_both(quiet=quiet, verbose=verbose)
    launch = Launch.of(os.environ)
    with joined(launch, device=_device_of(run), timeout=process_timeout) as group:
        run = begun_before(launch, run, group) or run
        quiet = quiet or not group.is_first
        tell = keep_quiet if quiet else say
        with FetchingProgress(enabled=not quiet) as fetching:
            prepared, resume_point = prepare_interrupted(
                run, say=tell, verbose=verbose, on_fetch=fetching.show, group=group
            )
        train_prepared(prepared, resume_point, TrainOutput(json=json, quiet=quiet, verbose=verbose), group=group)


def _device_of(run: Path) -> str:
    """Returns where a run trains, by its settings; where they cannot be read, that is told later."""
    from bertune.system.toml_file import read_toml

    try:
        return str(read_toml(run / "run.toml").get("train", {}).get("device", "auto"))
    except (BertuneError, OSError, AttributeError):
        return "auto"
