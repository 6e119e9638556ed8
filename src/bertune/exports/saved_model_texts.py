"""What a SavedModel that takes strings has beside one that takes ids: its tokenizer's arrays, and their proof."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.errors import BertuneError, ConfigError
from bertune.evaluation.answers import decisions, probabilities
from bertune.exports.program_description import TEXT_ANSWERS, TextDescription
from bertune.runtime.fresh_answers import LOGITS_FILE
from bertune.runtime.padded_rows import ProofRows
from bertune.tokenization.word_piece_tables import tables_of, word_piece_of

_NAMES: Final = {False: ("text",), True: ("sentence1", "sentence2")}
# Probabilities and values are float32.
_ROUNDING: Final = 1e-6
_SHOWN: Final = 60


def check_takes_texts(model: LoadedModel) -> None:
    """Refuses a model whose texts cannot become tokens in a graph.

    Raises:
        ConfigError: says why.
    """
    word_piece_of(model.tokenizer)
    signature = model.signature
    if signature.long_text == "windows":
        raise ConfigError(
            "a model that reads long texts in windows cannot be exported with --inputs text, whose graph makes one "
            "sequence of a text",
            hint="leave out --inputs text: the export then takes ids of tokens",
        )
    if signature.is_pair is None:
        raise ConfigError(
            "this model does not say whether it takes one text or two, by which the inputs of --inputs text are named",
            hint="leave out --inputs text, or fine-tune it with bertune",
        )


def describe_texts(model: LoadedModel, between: Path) -> TextDescription:
    """Writes the arrays of a tokenizer to a file, and describes what becomes of texts and logits."""
    tokenizer, signature, tables = word_piece_of(model.tokenizer), model.signature, between / "tables.npz"
    np.savez(tables, **vars(tables_of(tokenizer)))
    return TextDescription(
        tables=str(tables),
        names=_NAMES[bool(signature.is_pair)],
        max_length=signature.max_length,
        long_text=signature.long_text,
        cls_id=tokenizer.cls_id,
        sep_id=tokenizer.sep_id,
        pad_id=tokenizer.pad_id,
        unk_id=tokenizer.unk_id,
        kind=signature.kind,
        labels=signature.labels,
        thresholds=signature.thresholds,
        target_range=signature.target_range,
    )


def check_text_answers(between: Path, rows: ProofRows, signature: ModelSignature) -> None:
    """Compares what a SavedModel made of the strings of a proof: the tokens, and its answers beside its own logits.

    Args:
        between: where it wrote them.
        rows: of the proof.
        signature: of the export.

    Raises:
        BertuneError: a token, an answer or a label's name is another.
    """
    with np.load((between / LOGITS_FILE).with_suffix(TEXT_ANSWERS), allow_pickle=False) as stored:
        answers = dict(stored)
    _check_tokens(answers, rows)
    logits = answers["logits"]
    decided = decisions(logits, signature)
    if not signature.kind.has_labels:
        _check_near("value", answers["value"], decided)
        return
    names = np.array([label.encode() for label in signature.labels])
    _check_near("probability", answers["probabilities"], probabilities(logits, signature))
    expected: dict[str, NDArray[Any]] = {"labels": np.broadcast_to(names, logits.shape)}
    if signature.kind.has_label_sets:
        expected["given"] = decided == 1
    else:
        expected |= {"class_id": decided, "class": names[decided]}
    for name, values in expected.items():
        if not np.array_equal(answers[name], values):
            raise _difference(f"{name} is not what its logits say")


def _check_tokens(answers: dict[str, NDArray[Any]], rows: ProofRows) -> None:
    count = len(rows.strings[0])
    encoded = rows.encoded.take(np.arange(count))
    ends = np.cumsum(answers["lengths"])[:-1]
    found, expected = (
        np.split(ids, at) for ids, at in ((answers["token_ids"], ends), (encoded.token_ids, encoded.offsets[1:-1]))
    )
    wrong = [
        row
        for row, (one, other) in enumerate(zip(found, expected, strict=True))
        if not np.array_equal(one, other) or answers["first_lengths"][row] != encoded.first_lengths[row]
    ]
    if wrong:
        row = wrong[0]
        texts = " and ".join(ascii(column[row][:_SHOWN]) for column in rows.strings)
        raise _difference(
            f"it makes other tokens of {len(wrong):,} of {count:,} texts; of {texts} it makes {found[row].tolist()}, "
            f"not {expected[row].tolist()}"
        )


def _check_near(what: str, given: NDArray[Any], expected: NDArray[Any]) -> None:
    if not np.allclose(given, expected, rtol=_ROUNDING, atol=_ROUNDING):
        raise _difference(f"a {what} differs by {np.abs(given - expected).max():.3g} from what its logits say")


def _difference(what: str) -> BertuneError:
    return BertuneError(
        f"the export does not equal the model: {what}",
        hint="nothing was kept; the fault is in bertune or in TensorFlow's version: please report it",
    )
