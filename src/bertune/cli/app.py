"""The verbs, the layers of settings, and what an error looks like."""

import contextlib
import errno
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Dict, Env

import bertune
from bertune.cli.recipe_layer import recipe_layer
from bertune.cli.terminal import say
from bertune.errors import BertuneError, ConfigError

# The pages of the verbs are in their modules; these lines spare `bertune --help` from importing them.
_VERBS = {
    "train": "Fine-tune a pretrained encoder on a table of labelled texts.",
    "sweep": "Search learning rate, batch size, epochs and seed; keep the best model by validation.",
    "evaluate": "Score a fine-tuned model on labelled texts.",
    "predict": "Predict texts with a fine-tuned model.",
    "encode": "Encode a data set of any size once, into shards that training reads at once.",
    "calibrate": "Fit temperature and thresholds of a fine-tuned model anew.",
    "compare": "Compare runs on the same rows: is one better, or was it luck?",
    "export": "Export a fine-tuned model to TensorFlow, after a proof that the export equals it.",
    "report": "Write the report of a run again, from the files of its folder.",
    "inspect": "Look into a model, a data set or a run.",
    "demo": "Do the whole job on a small data set that comes with bertune.",
}
_TERMINATED = 143
# The signals that have asked the command to stop.
_stopped_by: set[int] = set()
_MEMORY_HINT = "use a smaller --micro-batch-size or --max-length"


def make_app(config_file: Path | None = None) -> App:
    """Builds the command line.

    Args:
        config_file: a TOML file below flags and environment variables.

    Raises:
        ConfigError: the file has a setting that does not exist, or one of another type.
    """
    layers: list[Any] = [Env("BERTUNE_")]
    if config_file is not None:
        from bertune.cli.config_file import read_config_file

        layers.append(Dict(read_config_file(config_file), source=str(config_file)))
    layers.append(recipe_layer)
    app = App(
        name="bertune",
        help="Fine-tune BERT-family encoders on texts and text pairs, see honestly how good the result is, "
        "and ship it.",
        version=f"bertune {bertune.__version__}",
        config=layers,
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
        help_format="plaintext",  # of this page alone: Markdown takes a fifth of its time to load
        # Every flag has an environment variable by the same rule, and no flag a second form: the page stays short.
        default_parameter=Parameter(show_env_var=False, negative=""),
        help_epilogue="Every flag can be set by BERTUNE_VERB_FLAG in the environment or by --config FILE.toml.",
    )
    for verb, summary in _VERBS.items():
        app.command(f"bertune.cli.{verb}:{verb}", name=verb, help=summary, help_format="markdown")
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit code: 0 done, 1 unexpected, 2 usage or configuration, 3 bad input, 4 disk or memory, 5 diverged,
        130 and 143 stopped by a signal.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    _listen_to_signals()
    _open_streams()
    try:
        return _code_of(tokens)
    finally:
        _drop_what_cannot_be_written()


def _code_of(tokens: list[str]) -> int:
    """Runs the command and tells how it ended."""
    try:
        _call(tokens)
        sys.stdout.flush()
    except BertuneError as error:
        return _fail(error.message, error.hint, error.exit_code)
    except CycloptsError as error:
        return _fail(_one_line(str(error)), "see `bertune --help` or `bertune VERB --help`", ConfigError.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", None, 130)
    except BrokenPipeError:
        # The reader of a pipe went away, as `head` does; nothing is left to say to it.
        return 0
    except MemoryError:
        return _fail("not enough memory", _MEMORY_HINT, 4)
    except OSError as error:
        return _fail_on_system_error(error)
    except SystemExit as error:
        if error.code != _TERMINATED:
            raise
        return _fail("terminated", None, _TERMINATED)
    except Exception as error:
        if _is_out_of_memory(error):
            return _fail("not enough memory", _MEMORY_HINT, 4)
        return _fail_unexpectedly(error)
    return 0


def _listen_to_signals() -> None:
    _stopped_by.clear()
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, as shells do behind `&`
        signal.signal(signal.SIGINT, _interrupt)


def _call(tokens: list[str]) -> None:
    """Runs the command; once a signal has come, whatever ends it was the signal.

    A library that is interrupted while it asks a Python object something may drop what the handler raised and raise an
    error of its own: torch, of a storage, that it "could not determine the shape of object".
    """
    try:
        tokens, config_file = _take_config(tokens)
        make_app(config_file)(tokens)
    except Exception as error:
        if signal.SIGTERM in _stopped_by:
            raise SystemExit(_TERMINATED) from error
        if signal.SIGINT in _stopped_by:
            raise KeyboardInterrupt from error
        raise


def _take_config(tokens: list[str]) -> tuple[list[str], Path | None]:
    """Takes `--config FILE` out of the arguments, since it decides how the others are read."""
    for index, token in enumerate(tokens):
        name, equals, value = token.partition("=")
        if name != "--config":
            continue
        rest = tokens[:index] + tokens[index + (1 if equals else 2) :]
        if not equals:
            value = tokens[index + 1] if index + 1 < len(tokens) else ""
        return rest, Path(value)
    return tokens, None


def _fail_on_system_error(error: OSError) -> int:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return _fail(f"{error.filename or 'output'}: {error.strerror}", "free some space, or write elsewhere", 4)
    if error.filename is None:
        return _fail_unexpectedly(error)
    return _fail(f"{error.filename}: {error.strerror}", None, 3)


def _fail_unexpectedly(error: Exception) -> int:
    if os.environ.get("BERTUNE_TRACEBACK"):
        traceback.print_exc()
    message = f"unexpected {type(error).__name__}: {_one_line(str(error))}"
    return _fail(message, "this is a fault of bertune; run again with BERTUNE_TRACEBACK=1 and report what it prints", 1)


def _fail(message: str, hint: str | None, code: int) -> int:
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    first, *more = message.splitlines() or [""]
    for line in (f"error: {first}", *more, *([f"hint: {hint}"] if hint else [])):
        say(line)
    return code


def _drop_what_cannot_be_written() -> None:
    """Lets go of what is left for a reader that went away: Python would try once more at the end, and exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_streams() -> None:
    """Makes closed streams harmless, and writes UTF-8 whatever the locale, so that no text of the data can fail."""
    # They stay open until the process ends.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _is_out_of_memory(error: Exception) -> bool:
    """Whether torch had no memory left; on the CPU it says so in the text of a plain RuntimeError only."""
    return type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _interrupt(signum: int, _frame: FrameType | None) -> NoReturn:
    _stopped_by.add(signum)
    raise KeyboardInterrupt


def _terminate(signum: int, _frame: FrameType | None) -> NoReturn:
    _stopped_by.add(signum)
    # As an exception, so that temporary files and folders are taken away on the way out.
    raise SystemExit(_TERMINATED)
