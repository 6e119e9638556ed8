"""Which texts are predicted, and what is told of them."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from bertune.checkpoints.signature import ModelSignature
from bertune.cli.options import DataOptions
from bertune.cli.predict import rows_for, tell_reading
from bertune.data.examples import Columns
from bertune.data.splits import Split, read_split
from bertune.errors import ConfigError
from bertune.evaluation.labelled_rows import TextRows

LABELS = ModelSignature(("no", "yes"), is_pair=False, max_length=8, text_a="body")


@pytest.mark.parametrize(
    ("texts", "options", "said"),
    [
        (("a",), DataOptions(data="x.csv"), "the texts are named, so --data has no effect"),
        (("a",), DataOptions(on_bad_row="skip"), "the texts are named, so --on-bad-row has no effect"),
        (("a",), DataOptions(), "this model takes pairs, got 1 text"),
        (("a", "b", "c"), DataOptions(), "this model takes pairs, got 3 texts"),
        ((__file__, "b"), DataOptions(), "is a file, not a text"),
    ],
)
def test_texts_that_do_not_fit_are_refused(texts: tuple[str, ...], options: DataOptions, said: str) -> None:
    pairs = SimpleNamespace(signature=ModelSignature(("no", "yes"), is_pair=True, max_length=8))
    with pytest.raises(ConfigError, match=said):
        rows_for(pairs, options, texts, None)  # type: ignore[arg-type]


def test_texts_of_the_command_line_are_taken_as_they_are() -> None:
    single = SimpleNamespace(signature=LABELS)
    found = rows_for(single, DataOptions(), ("a\tb", "", "x" * 5000), None)  # type: ignore[arg-type]
    assert found.texts is not None
    assert found.texts.texts_a == ["a\tb", "", "x" * 5000]


@pytest.mark.parametrize(("column", "is_told"), [("0", True), ("body", False), (None, False)])
def test_it_tells_where_a_first_row_was_taken_as_header(column: str | None, is_told: bool, tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    path.write_text("body\nmore\n")
    examples = read_split(Split("test", (path,)), columns=Columns(column or "body"), require_label=False)
    told: list[str] = []
    tell_reading(TextRows(examples), DataOptions(text_a=column), LABELS, told.append)
    warning = f"warning: {path}: the first row was taken as the names of columns and is not answered: 'body'"
    assert told[1:] == ([warning] if is_told else [])
