"""The formats a model can be exported to: one row of the table and one file each."""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from bertune.errors import ConfigError
from bertune.wording.nearest import did_you_mean

if TYPE_CHECKING:
    from bertune.checkpoints.model_folder import LoadedModel
    from bertune.runtime.fresh_answers import Answers
    from bertune.runtime.int8_agreement import Int8File
    from bertune.runtime.padded_rows import ProofRows

FormatName = Literal["transformers", "tf_checkpoint", "saved_model", "onnx"]
#: What an export takes: ids of tokens, or texts.
Inputs = Literal["ids", "text"]
# The module of each format; it holds the format as `FORMAT`.
_MODULES: dict[str, str] = {
    "transformers": "bertune.exports.transformers_folder",
    "tf_checkpoint": "bertune.exports.tf_checkpoint",
    "saved_model": "bertune.exports.saved_model",
    "onnx": "bertune.exports.onnx_folder",
}


@dataclass(frozen=True)
class Format:
    """One format.

    Args:
        name: by which users name it.
        tolerance: largest difference of a logit from the model's that the proof lets pass.
        check: refuses a model that has no such form, with a ConfigError, before anything is made.
        write: writes the export of a model, whose temperature is 1, into an empty folder; the second folder is for
            files in between.
        answer: reads the export of a folder in a fresh process, and has it answer rows; the folder is followed by one
            for files in between, and by what is called with the number of rows done each time.
        warnings: what a user of the export has to know about this model, a line each.
        quantize: writes a model in int8 in the place of its export in a folder; the folder is followed by one for files
            in between. None where the format has none.
        packages: modules that the format needs beside bertune's own.
        extra: of bertune, that installs it.
        takes_texts: whether the export takes texts, not ids of tokens.
        of_texts: the same format, taking texts; None where there is none.
    """

    name: FormatName
    tolerance: float
    check: Callable[["LoadedModel"], None]
    write: Callable[["LoadedModel", Path, Path], None]
    answer: Callable[["ProofRows", Path, Path, Callable[[int], None]], "Answers"]
    warnings: Callable[["LoadedModel"], tuple[str, ...]] = lambda _model: ()
    quantize: Callable[["LoadedModel", Path, Path], "Int8File"] | None = None
    packages: tuple[str, ...] = ()
    extra: str = ""
    takes_texts: bool = False
    of_texts: "Format | None" = None


def find_format(name: str, inputs: Inputs = "ids") -> Format:
    """Returns a format whose packages are installed.

    Args:
        name: of the format.
        inputs: what the export takes.

    Raises:
        ConfigError: there is no such format, it does not take such inputs, or a package is not installed; says what to
            install.
    """
    if inputs not in get_args(Inputs):
        raise ConfigError(f"inputs must be one of {', '.join(get_args(Inputs))}, not {inputs!r}")
    if name not in _MODULES:
        raise ConfigError(
            f"no export format {name!r}; there are {', '.join(_MODULES)}", hint=did_you_mean(name, _MODULES)
        )
    found: Format = importlib.import_module(_MODULES[name]).FORMAT
    if inputs == "text":
        if found.of_texts is None:
            raise ConfigError(
                f"an export to {name} takes ids of tokens, not texts",
                hint="take --format saved_model, or leave out --inputs text",
            )
        found = found.of_texts
    # The message is the whole of it, one line: what is missing and what installs it.
    missing = next((package for package in found.packages if importlib.util.find_spec(package) is None), None)
    if missing is not None:
        raise ConfigError(f'export format {name} needs {missing}: pip install "bertune[{found.extra}]"')
    return found
