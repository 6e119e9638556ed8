"""A few cases of each section of `make faults`, and that it would notice what it looks for."""

import faulthandler
import os
from pathlib import Path

import pytest
from tests.faults import bits, code, flushed, kills, memory, writes
from tests.faults.mutated import try_reader
from tests.faults.readers import Reader, all_readers
from tests.faults.sections import Settings

from bertune.errors import DataError

FEW = Settings(count=40, share=0.02, parts=None, seed=7)


def damaged_reader(read: object) -> Reader:
    def make(folder: Path) -> None:
        (folder / "a").write_bytes(bytes(range(64)))

    def attempt(folder: Path) -> None:
        content = (folder / "a").read_bytes()
        if content != bytes(range(64)):
            assert callable(read)
            read(folder, content)

    return Reader("toy", make, {"a": ()}, attempt)


def test_each_way_to_fail_is_told_from_a_refusal() -> None:
    def refuse(folder: Path, content: bytes) -> None:
        raise DataError(f"{folder / 'a'}: damaged")

    def refuse_without_a_name(folder: Path, content: bytes) -> None:
        raise DataError("damaged")

    def fail(folder: Path, content: bytes) -> None:
        raise KeyError("x")

    def die(folder: Path, content: bytes) -> None:
        faulthandler.disable()  # a trace of what is meant
        os.abort()

    def grow(folder: Path, content: bytes) -> None:
        bytearray(200 << 20)[:] = b"x" * (200 << 20)

    assert try_reader(damaged_reader(refuse), 8).failed == {}
    for read, word in ((refuse_without_a_name, "nameless"), (fail, "untyped"), (die, "died: SIGABRT"), (grow, "KiB")):
        tried = try_reader(damaged_reader(read), 8)
        assert len(tried.failed) == 8, word
        assert all(word in ended for ended in tried.failed.values()), tried.failed


@pytest.mark.slow
@pytest.mark.parametrize("reader", all_readers(), ids=lambda reader: reader.name)
def test_damaged_files_are_read_or_refused(reader: Reader) -> None:
    assert try_reader(reader, 150).failed == {}


@pytest.mark.slow
@pytest.mark.parametrize("section", [bits.bits, code.code, flushed.flushed, kills.kills, memory.memory, writes.writes])
def test_a_few_cases_of_each_section_survive(section: object) -> None:
    assert callable(section)
    for part, values in section(FEW):
        assert values["faults"] == [], part
