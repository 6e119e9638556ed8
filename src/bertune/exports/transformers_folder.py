"""The format `transformers`: a model folder whose head holds the temperature, for programs that know none."""

import shutil
from collections.abc import Callable
from pathlib import Path

from bertune.checkpoints.model_folder import LoadedModel, load, save
from bertune.errors import ConfigError
from bertune.exports.formats import Format
from bertune.exports.torch_answers import write_answers
from bertune.runtime.fresh_answers import Answers, answers_of
from bertune.runtime.padded_rows import ProofRows
from bertune.system.json_file import JsonObject

# Our own reader computes with our own arithmetic: what differs at all is a wrong weight.
_TOLERANCE = 1e-5


def _check(model: LoadedModel) -> None:
    family = model.classifier.encoder.family
    if not family.knows_pooling(model.classifier.pooling):
        raise ConfigError(
            "a model with mean pooling cannot be exported to transformers, which has no "
            f"{family.name} classifier with it",
            hint="export to saved_model, or train with --pooling cls",
        )


def _write(model: LoadedModel, folder: Path, between: Path) -> None:
    made = save(model.classifier, between / "model", tokenizer=model.tokenizer, signature=model.signature)
    for path in made.iterdir():
        shutil.move(path, folder / path.name)


def _answer(rows: ProofRows, folder: Path, between: Path, on_rows: Callable[[int], None]) -> Answers:
    return answers_of(__name__, rows, folder, between, on_rows)


def answer_rows(*, folder: str, rows: str, out: str, on_rows: Callable[[int], None]) -> JsonObject:
    """Loads the folder and writes its logits; the work of the fresh process.

    Args:
        folder: of the export.
        rows: file with the rows.
        out: file for the logits.
        on_rows: called with the number of rows done in each batch.
    """
    return write_answers(load(folder).classifier, rows, out, on_rows)


FORMAT = Format(name="transformers", tolerance=_TOLERANCE, check=_check, write=_write, answer=_answer)
