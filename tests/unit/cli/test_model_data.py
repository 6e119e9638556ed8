"""Which rows a model is given: columns have the names of training unless flags say others."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bertune.checkpoints.signature import ModelSignature
from bertune.cli.model_data import read_for
from bertune.cli.options import DataOptions
from bertune.data.kept_columns import KeptColumns
from bertune.errors import ConfigError


@pytest.mark.parametrize(
    ("is_pair", "require_label", "flags"),
    [
        (False, False, "--text-a"),
        (True, False, "--text-a and --text-b"),
        (True, True, "--text-a and --text-b and --label"),
    ],
)
def test_a_column_that_nobody_named_here_is_named_by_a_flag(
    is_pair: bool, require_label: bool, flags: str, tmp_path: Path
) -> None:
    (tmp_path / "mails.csv").write_text("mail,kind\nhello,a\n")
    model: Any = SimpleNamespace(signature=ModelSignature(labels=("a", "b"), is_pair=is_pair, max_length=9))
    options = DataOptions(data=str(tmp_path / "mails.csv"))
    with pytest.raises(ConfigError, match="has no column 'sentence1'") as raised:
        read_for(model, options, require_label=require_label)
    assert raised.value.hint == f"name the columns of this table with {flags}"
    with pytest.raises(ConfigError) as raised:
        read_for(model, DataOptions(data=str(tmp_path / "mails.csv"), text_a="mali"), require_label=require_label)
    assert raised.value.hint == "did you mean 'mail'?"


def test_a_hint_that_mends_the_file_stands_alone_and_a_kept_column_is_not_that_of_the_text(tmp_path: Path) -> None:
    model: Any = SimpleNamespace(
        signature=ModelSignature(labels=("a", "b"), is_pair=False, max_length=9, text_a="text", text_b=None)
    )
    (tmp_path / "mails.csv").write_text("works as it should\nnever again\n")
    options = DataOptions(data=str(tmp_path / "mails.csv"))
    with pytest.raises(ConfigError, match="has no column 'text'") as raised:
        read_for(model, options, require_label=False)
    assert raised.value.hint is not None
    assert raised.value.hint.endswith("--no-header, and columns by number, such as --text-a 0")
    (tmp_path / "mails.csv").write_text("texts,id\ngood,1\n")
    with pytest.raises(ConfigError) as raised:
        read_for(model, options, require_label=False)
    assert raised.value.hint == "did you mean 'texts'? name the columns of this table with --text-a"
    (tmp_path / "mails.csv").write_text("text,id\ngood,1\n")
    with pytest.raises(ConfigError) as raised:
        read_for(model, options, require_label=False, kept=KeptColumns(("idd",)))
    assert raised.value.hint == "did you mean 'id'?"
