"""The rows of a proof."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bertune.checkpoints.model_folder import load
from bertune.data.examples import Examples
from bertune.errors import ConfigError
from bertune.exports.proof_rows import rows_for
from bertune.runtime.padded_rows import ProofRows
from bertune.tokenization.word_piece_tables import word_piece_of


def test_without_data_the_texts_of_the_demo_and_random_rows_make_at_least_1000(make_model: Callable[..., Path]) -> None:
    rows = rows_for(load(make_model()))
    assert len(rows) >= 1000
    assert rows.texts > 850
    assert rows.encoded.lengths.min() == 1
    assert (rows.encoded.lengths == 64).sum() >= 3
    assert rows.encoded.token_ids.min() == 0
    assert rows.encoded.token_ids.max() == 1007
    again = rows_for(load(make_model("again")))
    assert np.array_equal(rows.encoded.token_ids, again.encoded.token_ids)


def test_every_text_that_is_given_is_proved_and_few_are_filled_up(make_model: Callable[..., Path]) -> None:
    model = load(make_model())
    few = rows_for(model, Examples.from_lists(["one"] * 3, ["two"] * 3))
    assert (few.texts, len(few)) == (3, 1000)
    many = rows_for(model, Examples.from_lists(["one"] * 2000, ["two"] * 2000))
    assert many.texts == 2000
    assert len(many) == 2000 + 7 + 128
    with pytest.raises(ConfigError, match="one text a row"):
        rows_for(model, Examples.from_lists(["one"]))


def test_an_export_that_takes_texts_is_proved_on_hostile_ones_too(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    model = load(make_model())
    plain = rows_for(model)
    assert plain.strings == ()
    # Half a surrogate pair is in no string of another program.
    given = Examples.from_lists(["one", "a\ud800", "three"], ["two", "b", "c"])
    rows = rows_for(model, given, with_strings=True)
    first, second = rows.strings
    assert (first[:2], second[:2]) == (("one", "three"), ("two", "c"))
    assert rows.texts == len(first) == len(second)
    assert rows.texts > 200
    assert len(rows) >= 1000
    assert first[2:] == second[:1:-1]
    for number in (0, 1, 5, rows.texts - 1):
        ids, _ = word_piece_of(model.tokenizer).encode(first[number], second[number], max_length=48)
        assert rows.encoded.take([number]).token_ids.tolist() == ids
    assert rows_for(load(make_model("again")), given, with_strings=True).strings == rows.strings
    rows.save(tmp_path / "rows.npz")
    read = ProofRows.read(tmp_path / "rows.npz")
    assert read.strings == rows.strings
    behind = read.without_strings()
    assert (behind.texts, behind.strings, len(behind)) == (0, (), len(rows) - rows.texts)
    assert np.array_equal(behind.encoded.token_ids, rows.encoded.token_ids[rows.encoded.offsets[rows.texts] :])
    assert len(plain.without_strings()) == len(plain)


def test_batches_of_many_sizes_hold_every_row_once_in_order(make_model: Callable[..., Path]) -> None:
    rows = rows_for(load(make_model()))
    batches = list(rows.padded_batches())
    assert {1, 7, 32} <= {len(batch["input_mask"]) for batch in batches}
    assert max(batch["input_mask"].shape[1] for batch in batches) == 64
    assert any((batch["input_mask"].sum(axis=0) == 0).any() for batch in batches), "no batch is wider than its rows"
    real = [batch["input_mask"] == 1 for batch in batches]
    ids = np.concatenate([batch["input_word_ids"][mask] for batch, mask in zip(batches, real, strict=True)])
    types = np.concatenate([batch["input_type_ids"][mask] for batch, mask in zip(batches, real, strict=True)])
    assert np.array_equal(ids, rows.encoded.token_ids)
    lengths = np.concatenate([mask.sum(axis=1) for mask in real])
    assert np.array_equal(lengths, rows.encoded.lengths)
    assert types.sum() == (rows.encoded.lengths - rows.encoded.first_lengths).sum()
    padding = np.concatenate([batch["input_word_ids"][~mask] for batch, mask in zip(batches, real, strict=True)])
    assert len(np.unique(padding)) > 500, "padding of one id would not show whether the mask hides it"
    assert all(array.dtype == np.int32 for batch in batches for array in batch.values())


def test_rows_come_back_from_their_file(make_model: Callable[..., Path], tmp_path: Path) -> None:
    rows = rows_for(load(make_model()))
    rows.save(tmp_path / "rows.npz")
    read = ProofRows.read(tmp_path / "rows.npz")
    assert (read.texts, read.vocab_size, read.max_positions) == (rows.texts, rows.vocab_size, rows.max_positions)
    for name in ("token_ids", "offsets", "first_lengths"):
        assert np.array_equal(getattr(read.encoded, name), getattr(rows.encoded, name))


def test_the_process_that_runs_another_runtime_needs_no_torch() -> None:
    code = "import sys, bertune.runtime.padded_rows, bertune.system.fresh_process; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
