"""The verbs, the layers of settings, and what an error looks like."""

import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.config import Dict, Env

import bertune
from bertune.cli.distill_defaults import VERB as DISTILL
from bertune.cli.distill_defaults import settings_of_teacher
from bertune.cli.failures import fail, fail_on
from bertune.cli.help_page import HelpPage
from bertune.cli.several_processes import first_process_ends, is_one_of_several, refuse_several_processes
from bertune.cli.terminal import say
from bertune.cli.train_resume import VERB, as_resumed
from bertune.cli.unknown_options import PREFIX, forget_empty_variables, refuse_empty, unknown_option, unknown_variables
from bertune.cli.whole_numbers import refuse_fractions
from bertune.data.several_names import name_of
from bertune.errors import BertuneError, ConfigError
from bertune.system.process_group import ProcessError, ToldElsewhereError

# The pages of the verbs are in their modules; these lines spare `bertune --help` from importing them.
_VERBS = {
    "train": "Fine-tune a pretrained encoder on a table of labelled texts.",
    "distill": "Train a small model on the answers of a large one, and on labels.",
    "sweep": "Search learning rate, batch size, epochs and seed; keep the best model by validation.",
    "evaluate": "Score a fine-tuned model on labelled texts; of a folder its validation split, if no other is named.",
    "predict": "Predict texts with a fine-tuned model: of a table or folder, or the lines of standard input.",
    "encode": "Encode a data set of any size once, into shards that training reads at once.",
    "calibrate": "Refit temperature and thresholds of a fine-tuned model.",
    "compare": "Compare runs on the same rows: is one better, or was it luck?",
    "export": "Export a fine-tuned model to transformers, TensorFlow or ONNX, and prove that it is equal.",
    "verify": "Prove an export again on this machine, by the rows that it keeps.",
    "serve": "Serve fine-tuned models over HTTP: TEI's, TensorFlow Serving's and the Open Inference Protocol's routes.",
    "push": "Upload a run or an export to the Hugging Face hub, proved and with a model card.",
    "report": "Write the report of a run again, from the files of its folder.",
    "inspect": "Look into a model, a data set or a run.",
    "demo": "Do the whole job on a small data set that comes with bertune.",
}
# What must be named comes first; the options in general after it.
_USAGES = {
    "train": "--data DATA --out FOLDER [OPTIONS]",
    "distill": "RUN --out FOLDER [OPTIONS]",
    "sweep": "--data DATA --out FOLDER [OPTIONS]",
    "evaluate": "RUN --data DATA [OPTIONS]",
    "predict": "RUN [TEXT...] [OPTIONS]",
    "encode": "--data DATA --out FOLDER [OPTIONS]",
    "calibrate": "RUN [OPTIONS]",
    "compare": "RUN RUN... [OPTIONS]",
    "export": "RUN OUT --format FORMAT [OPTIONS]",
    "verify": "EXPORT [OPTIONS]",
    "serve": "RUN... [OPTIONS]",
    "push": "RUN NAME [OPTIONS]",
    "report": "RUN [OPTIONS]",
    "inspect": "WHAT [OPTIONS]",
    "demo": "[OPTIONS]",
}
_TERMINATED = 143
# The signals that have asked the command to stop.
_stopped_by: set[int] = set()


def make_app(config_file: Path | None = None, *, all_flags: bool = False, below: dict[str, Any] | None = None) -> App:
    """Builds the command line.

    Args:
        config_file: a TOML file below flags and environment variables.
        all_flags: whether the help of a verb lists the less usual flags too.
        below: settings of verbs below those of the file.

    Raises:
        ConfigError: the file has a setting that does not exist, or one of another type.
    """
    layers: list[Any] = [Env(PREFIX)]
    if config_file is not None:
        from bertune.cli.config_file import read_config_file

        layers.append(Dict(read_config_file(config_file, tuple(_VERBS)), source=str(config_file)))
    if below:
        layers.append(Dict(below, source="the teacher's run.toml"))
    options = Group("Options", validator=refuse_fractions)  # one for all: the page groups them by what they are about
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
        help_format="plaintext",
        help_formatter=HelpPage(),
        usage="Usage: bertune VERB [OPTIONS]",
        # Every flag has an environment variable by the same rule, and no flag a second form: the page stays short.
        default_parameter=Parameter(show_env_var=False, negative=""),
        group_commands=Group("Verbs"),
        group_arguments=options,
        group_parameters=options,
    )
    for place, (verb, summary) in enumerate(_VERBS.items()):
        app.command(
            f"bertune.cli.{verb}:{verb}",
            name=verb,
            help=summary,
            usage=f"Usage: bertune {verb} {_USAGES[verb]}",
            help_formatter=HelpPage(verb, everything=all_flags),
            sort_key=place,
        )
    app.command("bertune.cli.train_resume:resume", name=VERB, show=False, help_formatter=HelpPage("train"))
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit code: 0 done, 1 unexpected, 2 usage or configuration, 3 bad input, 4 disk or memory, 5 diverged,
        6 stopped with a checkpoint, 130 and 143 stopped by a signal at once.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    _listen_to_signals()
    _open_streams()
    _forget_no_width()
    try:
        return _code_of(tokens)
    finally:
        _drop_what_cannot_be_written()


def _code_of(tokens: list[str]) -> int:
    """Runs the command and tells how it ended."""
    try:
        _call(tokens)
        sys.stdout.flush()
    except ToldElsewhereError as error:
        if notes := _with_notes(None, error):
            say(f"hint: {notes}")
        return error.exit_code
    except BertuneError as error:
        if is_one_of_several() and not isinstance(error, ProcessError) and first_process_ends():
            return error.exit_code
        return fail(error.message, _with_notes(error.hint, error), error.exit_code)
    except KeyboardInterrupt as error:
        _heed_no_more_signals()
        return 130 if is_one_of_several() else fail("interrupted", _with_notes(None, error), 130)
    except BrokenPipeError:
        # The reader of a pipe has closed it, as `head` does; nothing is left to say to it.
        return 0
    except SystemExit as error:
        if error.code != _TERMINATED:
            raise
        _heed_no_more_signals()
        return _TERMINATED if is_one_of_several() else fail("terminated", _with_notes(None, error), _TERMINATED)
    except Exception as error:
        return fail_on(error)
    return 0


def _with_notes(hint: str | None, error: BaseException) -> str | None:
    """Adds what was noted on an error's way up, such as where an earlier run is."""
    return "; ".join([*([] if hint is None else [hint]), *getattr(error, "__notes__", [])]) or None


def _listen_to_signals() -> None:
    _stopped_by.clear()
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # ignored it is by shells, behind `&`
        signal.signal(signal.SIGINT, _interrupt)


def _heed_no_more_signals() -> None:
    """Lets what is left to say be said: an impatient user, or a supervisor, sends two."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _call(tokens: list[str]) -> None:
    """Runs the command; once a signal has come, whatever ends it was the signal.

    A library that is interrupted while it asks a Python object something may drop what the handler raised and raise an
    error of its own: torch, of a storage, that it "could not determine the shape of object".
    """
    try:
        _refuse_unwritable(tokens)
        refuse_empty(tokens)
        refuse_several_processes(tokens, _VERBS)
        tokens = as_resumed(tokens)
        tokens, config_file = _take_config(tokens)
        for flag in ("--data", "--relabel"):
            tokens = _as_one(tokens, flag)
        forget_empty_variables()
        all_flags = "--help-all" in tokens
        app = make_app(config_file, all_flags=all_flags, below=_below(tokens))
        try:
            _warn_of_variables(app, tokens)
            app(["--help" if word == "--help-all" else word for word in tokens])
        except CycloptsError as error:
            # What was mistyped is the reason why something else is missing.
            raise unknown_option(app, tokens) or _usage_error(error) from None
        except ConfigError as error:
            # Settings that contradict each other are told before options that are not known.
            raise unknown_option(app, tokens) or error from None
    except Exception as error:
        if signal.SIGTERM in _stopped_by:
            raise SystemExit(_TERMINATED) from error
        if signal.SIGINT in _stopped_by:
            raise KeyboardInterrupt from error
        raise


def _below(tokens: list[str]) -> dict[str, Any]:
    """Settings below all others, by verb: a student takes those of its teacher's data."""
    settings = settings_of_teacher(tokens)
    return {DISTILL: settings} if settings else {}


def _usage_error(error: CycloptsError) -> ConfigError:
    from bertune.cli.usage_errors import usage_error

    return usage_error(error, tuple(_VERBS))


def _refuse_unwritable(tokens: list[str]) -> None:
    """Refuses names of files that are no text: neither run.toml nor a report could hold them.

    Raises:
        ConfigError: bytes that are not UTF-8.
    """
    for token in tokens:
        # What Python cannot decode it keeps as half surrogates.
        if any("\ud800" <= character <= "\udfff" for character in token):
            shown = os.fsencode(token).decode("utf-8", "backslashreplace")
            raise ConfigError(
                f"{shown}: the name is not UTF-8, so that no file of a run could hold it",
                hint="rename the file or folder, such as with mv, or name a link to it",
            )


def _warn_of_variables(app: App, tokens: list[str]) -> None:
    """Tells of variables that set nothing; the modules of a verb are not imported where there are none to look at."""
    names = [name for name in os.environ if name.startswith(PREFIX)]
    if names and tokens and tokens[0] in _VERBS:
        for told in unknown_variables(app, tokens[0], names):
            say(f"warning: {told}")


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


def _as_one(tokens: list[str], flag: str) -> list[str]:
    """Joins the values of a flag that may be given several times into one, at its first place."""
    values: list[str] = []
    rest: list[str] = []
    first = 0
    left = iter(tokens)
    for token in left:
        name, equals, value = token.partition("=")
        given = value if equals else next(left, None) if name == flag else None
        if name != flag or given is None:
            rest.append(token)
            continue
        first = first if values else len(rest)
        values.append(given)
    return tokens if len(values) < 2 else [*rest[:first], flag, name_of(values), *rest[first:]]


def _drop_what_cannot_be_written() -> None:
    """Drops what is left for a reader that has closed: Python would try once more at the end, and exit with 120."""
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


def _forget_no_width() -> None:
    """Takes a width that is none out of the environment: rich, which draws help and bars, would fill 0 columns."""
    if os.environ.get("COLUMNS", "1").strip("0") == "":
        del os.environ["COLUMNS"]


def _interrupt(signum: int, _frame: FrameType | None) -> NoReturn:
    _stopped_by.add(signum)
    raise KeyboardInterrupt


def _terminate(signum: int, _frame: FrameType | None) -> NoReturn:
    _stopped_by.add(signum)
    # As an exception, so that temporary files and folders are taken away on the way out.
    raise SystemExit(_TERMINATED)
