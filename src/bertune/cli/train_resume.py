"""`bertune train --resume RUN`: all settings are the run's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bertune.errors import ConfigError

FLAG: Final = "--resume"
VERB: Final = "train --resume"
"""The name under which `app` knows it; nobody can type it as one word by accident."""
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
    for token in rest:
        name = token.partition("=")[0]
        if name not in _OWN:
            raise ConfigError(
                f"{FLAG} takes all settings from {folder}/run.toml, so {name} cannot be given", hint=f"leave {name} out"
            )
    return [VERB, folder, *rest]


def resume(run: Path, *, json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
    """Resume a run that was interrupted or killed, as if nothing had happened.

    Args:
        run: its folder; all settings come from there.
        json: print one JSON document with the result.
        quiet: print nothing but the result and errors.
        verbose: print more of the data, the encoder, how scores were found, and the score of every label.
    """
    from bertune.api.resumed_run import prepare_interrupted
    from bertune.cli.options import refuse_both
    from bertune.cli.progress import FetchingProgress
    from bertune.cli.terminal import keep_quiet, say
    from bertune.cli.train import train_prepared

    refuse_both(quiet=quiet, verbose=verbose)
    tell = keep_quiet if quiet else say
    with FetchingProgress(enabled=not quiet) as fetching:
        prepared, resume_point = prepare_interrupted(run, say=tell, verbose=verbose, on_fetch=fetching.show)
    train_prepared(prepared, resume_point, json=json, quiet=quiet, verbose=verbose)
