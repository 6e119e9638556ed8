"""What a program gives to be predicted or scored, as examples: lists, pairs, tables in memory."""

from dataclasses import replace
from pathlib import PurePath
from typing import Any

from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Columns, Examples
from bertune.data.frames import is_frame, read_frame
from bertune.data.given_values import described, listed, texts_in
from bertune.errors import ConfigError, DataError
from bertune.evaluation.labelled_rows import LabelledRows, TextRows


def examples_of(
    signature: ModelSignature, given: object, *, text_a: str | int | None = None, text_b: str | int | None = None
) -> Examples:
    """Takes texts, pairs of texts, or columns of a table in memory, as examples without labels.

    Args:
        signature: of the model, which says whether it takes pairs and what the columns were called in training.
        given: see `predict`.
        text_a: column of the (first) texts, for a table; None takes that of training.
        text_b: column of the second texts, for a table.

    Raises:
        ConfigError: it is no table and a column is named, the table has no such column, or single texts are given for a
            pair model, or the other way round.
        DataError: there is no text, or an entry is neither a text nor a pair; names it.
    """
    hint = "give pairs: [(text, second text), …]"
    if _is_table(given):
        hint = "name the second text's column: text_b=…"
        examples = read_frame(given, _columns(signature, text_a, text_b))
    else:
        _refuse_columns(given, text_a=text_a, text_b=text_b)
        examples = given if isinstance(given, Examples) else _of_list(given)
    signature.check_texts(given_pair=examples.texts_b is not None, where=examples.report.path, pair_hint=hint)
    return examples


def labelled_examples_of(
    signature: ModelSignature,
    given: object,
    *,
    text_a: str | int | None = None,
    text_b: str | int | None = None,
    label: str | int | None = None,
) -> Examples:
    """Takes texts with labels, or columns of a table in memory.

    Args:
        signature: of the model.
        given: a pair of texts and labels, a table, or examples.
        text_a: as for `examples_of`.
        text_b: as for `examples_of`.
        label: column of the labels or targets, for a table; None takes that of training.

    Raises:
        ConfigError: as `examples_of` does; or texts without labels.
        DataError: as `examples_of` does; or a label is missing, or there are more or fewer labels than texts.
    """
    if _is_table(given):
        return read_frame(given, _with_label(signature, _columns(signature, text_a, text_b), label))
    _refuse_columns(given, text_a=text_a, text_b=text_b, label=label)
    if isinstance(given, Examples):
        return given
    if not isinstance(given, tuple) or len(given) != 2:
        raise ConfigError(
            f"expected texts with labels, got {described(given)}", hint="give (texts, labels), or a table with columns"
        )
    texts = examples_of(signature, given[0])
    examples = Examples.from_lists(texts.texts_a, texts.texts_b, given[1], name=texts.report.path)
    if (examples.label_sets is not None) != signature.kind.has_label_sets:
        expected = "a list of labels" if signature.kind.has_label_sets else "one label"
        raise DataError(f"labels[0] is {described(given[1][0])}, expected {expected} for each text of this model")
    return examples


def rows_of(
    signature: ModelSignature, given: object, *, text_a: str | int | None = None, text_b: str | int | None = None
) -> LabelledRows:
    """Takes rows as they are, and anything else as `examples_of` does.

    Raises:
        ConfigError: as `examples_of` does.
        DataError: as `examples_of` does.
    """
    if isinstance(given, LabelledRows):
        return given
    return TextRows(examples_of(signature, given, text_a=text_a, text_b=text_b))


def labelled_rows_of(
    signature: ModelSignature,
    given: object,
    *,
    text_a: str | int | None = None,
    text_b: str | int | None = None,
    label: str | int | None = None,
) -> LabelledRows:
    """Takes rows as they are, and anything else as `labelled_examples_of` does.

    Raises:
        ConfigError: as `labelled_examples_of` does.
        DataError: as `labelled_examples_of` does.
    """
    if isinstance(given, LabelledRows):
        return given
    return TextRows(labelled_examples_of(signature, given, text_a=text_a, text_b=text_b, label=label))


def _is_table(given: object) -> bool:
    # What becomes a table, or holds several, is best refused by the reader of tables, which knows what to do.
    return is_frame(given) or type(given).__name__ in ("LazyFrame", "DatasetDict")


def _refuse_columns(given: object, **columns: str | int | None) -> None:
    named = [name for name, column in columns.items() if column is not None]
    if named:
        raise ConfigError(f"{named[0]} names a column of a table, but the texts are {described(given)}")


def _columns(signature: ModelSignature, text_a: str | int | None, text_b: str | int | None) -> Columns:
    first = _column("text_a", text_a, signature.text_a)
    if not signature.is_pair and text_b is None:
        return Columns(first)
    return Columns(first, _column("text_b", text_b, signature.text_b))


def _with_label(signature: ModelSignature, columns: Columns, label: str | int | None) -> Columns:
    if not signature.kind.has_label_sets:
        return replace(columns, label=_column("label", label, signature.label))
    of_training = signature.columns(allow_none=not signature.label_columns)
    if label is None and of_training.label is None:
        return replace(columns, several=of_training.several)
    # A column of another name may hold lists, whatever the separator was in training.
    several = of_training.several if label is None else None
    return replace(columns, label=_column("label", label, signature.label), several=several)


def _column(option: str, given: str | int | None, of_training: str | int | None) -> str | int:
    if given is not None:
        return given
    if isinstance(of_training, str) and not of_training.isdigit():
        return of_training
    # A place in the table of training says nothing about this one.
    raise ConfigError("the model does not know the names of this table's columns", hint=f"name the column: {option}=…")


def _of_list(given: object) -> Examples:
    if isinstance(given, PurePath):
        raise ConfigError("the texts are a path", hint="read_examples reads a table")
    texts: list[Any] = listed(given, "texts")
    if not texts:
        raise DataError("there is no text to predict")
    pairs = [isinstance(text, tuple | list) for text in texts]
    if not any(pairs):
        return Examples.from_lists(texts_in(texts, "texts"))
    for place, text in enumerate(texts):
        if pairs[place] != pairs[0]:
            raise DataError(f"texts[{place}] is {described(text)}, but texts[0] is {described(texts[0])}")
        if pairs[place] and len(text) != 2:
            raise DataError(f"texts[{place}] is {described(text)}, expected a text or a pair of texts")
        for number, part in enumerate(text if pairs[place] else ()):
            if not isinstance(part, str):
                raise DataError(f"texts[{place}][{number}] is {described(part)}, expected a text")
    return Examples.from_lists([pair[0] for pair in texts], [pair[1] for pair in texts])
