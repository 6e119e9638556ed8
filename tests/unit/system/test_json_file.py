"""JSON and TOML from disk: what is refused, and that every file of either kind goes through the one reader."""

import os
import re
from pathlib import Path

import pytest

import bertune
from bertune.errors import CheckpointError, ConfigError, DataError
from bertune.system.json_file import MAX_FOREIGN_INTEGER, parse_json, read_json_object
from bertune.system.toml_file import read_toml, write_toml


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "nested too deeply"),
        (b'{"a": 1' + b"0" * 400 + b"}", "whole number is too large"),
        (b'{"a": 1' + b"0" * 6000 + b"}", "Exceeds the limit"),
        (b'{"a": -9223372036854775809}', "whole number is too large"),
        (b'{"a": 1e400}', "a number is too large"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": [-Infinity]}', "-Infinity is not JSON"),
        (b'{"a": {"b": 1, "b": 2}}', "the key 'b' stands twice"),
        (b'{"a": "\\ud800"}', "half of a surrogate pair"),
        (b'{"\\udfff": 1}', "half of a surrogate pair"),
        (b'{"a": "\xff"}', "codec can't decode"),
        (b"", "Expecting value"),
    ],
)
def test_json_that_nothing_can_use_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_json(content)


def test_a_file_cut_short_is_named_and_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_bytes(b'{"model": {"type": "BPE"')
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: not a JSON file") as refused:
        read_json_object(file, error=CheckpointError)
    assert "download it again" in (refused.value.hint or "")


def test_json_keeps_what_is_sound() -> None:
    content = b'{"a": [1, 9223372036854775807, -0.5, 1e300, "\\ud83d\\ude00", null, true], "": {}}'
    assert parse_json(content) == {"a": [1, 2**63 - 1, -0.5, 1e300, "\U0001f600", None, True], "": {}}
    assert parse_json(b"[" * 100 + b"]" * 100)
    assert parse_json(b"%d" % 10**30, max_integer=MAX_FOREIGN_INTEGER) == 10**30


def test_an_empty_file_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "bertune.json").write_bytes(b" \n")
    with pytest.raises(CheckpointError, match=r"bertune\.json: the file is empty"):
        read_json_object(tmp_path / "bertune.json")


def test_a_file_is_named_by_the_error_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"[1]")
    with pytest.raises(DataError, match=r"x\.json: expected a JSON object, found list"):
        read_json_object(path, error=DataError)
    path.write_bytes(b"{}" + b" " * 100)
    with pytest.raises(CheckpointError, match=r"x\.json: more than 50 bytes"):
        read_json_object(path, max_bytes=50)
    os.mkfifo(tmp_path / "pipe")
    for name, says in (("pipe", "not a file"), (".", "not a file"), ("absent", "no such file")):
        with pytest.raises(CheckpointError, match=says):
            read_json_object(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a = " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        (b"a = " + b"[" * 150 + b"]" * 150, "nested too deeply"),
        (b"a = 1" + b"0" * 5000, "Exceeds the limit"),
        (b"a = 1" + b"0" * 30, "whole number is too large"),
        (b"a = 1e999", "a number is too large"),
        (b"a = \xff", "codec can't decode"),
        (b"a = 1\na = 2", "overwrite"),
        (b"#" * 2_000_000, "too large for such a file"),
    ],
)
def test_toml_that_nothing_can_use_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "c.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"c\.toml: .*{says}"):
        read_toml(tmp_path / "c.toml", error=ConfigError)


def test_no_other_file_reads_json_or_toml_from_disk() -> None:
    """Where another reader stands, and what it reads instead of files of other people."""
    allowed = {
        "system/json_file.py": "the reader",
        "system/toml_file.py": "the reader",
        "data/formats/json_lines.py": "rows of users, refused one at a time",
        "data/several_labels.py": "one quoted label of a cell",
        "evaluation/prediction_files.py": "what pyarrow wrote of a kept value",
        "data/relabelled_examples.py": "several labels in one cell of a file of decisions",
        "api/hub_upload.py": "what the hub says of a card",
        "checkpoints/safetensors_header.py": "a part of a binary file, with limits of its own",
        "experiments/resume_certificate.py": "a journal that this bertune has just written, in two runs",
        "training/plan.py": "recipes of the package itself",
        "cli/demo.py": "what another bertune prints",
        "system/fresh_process.py": "what the parent process says",
        "serving/supervision.py": "what the parent process says",
        "serving/worker_process.py": "what a worker says",
        "exports/tensorflow_program.py": "what the parent process wrote, without bertune's imports",
    }
    root = Path(bertune.__file__).parent
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"\b(json|tomllib)\.loads?\(", path.read_text("utf-8"))
    }
    assert found == set(allowed)


def test_settings_that_the_reader_of_toml_would_refuse_are_not_written(tmp_path: Path) -> None:
    for value in (10**30, float("inf"), [[10**30]]):
        with pytest.raises(ConfigError, match=r"^patience: .* to be kept in run\.toml$"):
            write_toml(tmp_path / "run.toml", {"train": {"epochs": 3, "patience": value}})
    assert list(tmp_path.iterdir()) == []
    write_toml(tmp_path / "run.toml", {"train": {"epochs": 3}})
    assert read_toml(tmp_path / "run.toml") == {"train": {"epochs": 3}}
