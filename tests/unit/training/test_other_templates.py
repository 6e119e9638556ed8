"""A run prepared with a tokenizer of another template: its special tokens are the ones that count."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.end_to_end.world import SPECIAL, write_encoder
from tests.unit.tokenization.byte_level import VOCABULARY, ByteLevelTokenizer

from bertune.errors import ConfigError
from bertune.tokenization.encode_texts import encode_examples
from bertune.training.config import TrainingConfig
from bertune.training.prepare import PreparedRun, prepare
from bertune.training.run_settings import RunSettings

CONFIG = TrainingConfig(recipe="lesson", epochs=1, batch_size=8, learning_rate=1e-3, precision="fp32")
FIRST = ["good bad good bad good bad good bad", "bad bad", "good", "good  good"] * 6
SECOND = ["bad", "good bad", "bad good bad", "é"] * 6


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table and a model with as many rows in its table as the other vocabulary has pieces."""
    folder = tmp_path_factory.mktemp("place")
    write_encoder(folder / "model", [*SPECIAL, *(f"w{number}" for number in range(len(VOCABULARY) - len(SPECIAL)))])
    rows = [f"{first},{second},{'xy'[row % 2]}" for row, (first, second) in enumerate(zip(FIRST, SECOND, strict=True))]
    (folder / "train.csv").write_text("\n".join(["a,b,label", *rows]) + "\n")
    return folder


def prepared(place: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> tuple[PreparedRun, list[str]]:
    monkeypatch.setattr("bertune.training.prepare.read_tokenizer", lambda _: ByteLevelTokenizer())
    said: list[str] = []
    columns = {"text_a": "a", "text_b": "b", "label": "label", "validation": "none"}
    made = RunSettings(
        data=str(place / "train.csv"), out=place / "run", model=str(place / "model"), **(columns | settings)
    )
    return prepare(made, CONFIG, say=said.append, verbose=True), said


def test_rows_are_encoded_and_counted_with_four_special_tokens(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, said = prepared(place, monkeypatch, max_length=12)
    expected = encode_examples(FIRST, SECOND, ByteLevelTokenizer(), 12)
    assert np.array_equal(run.train.encoded.token_ids, expected.token_ids)
    assert run.train.encoded.first_lengths.tolist() == expected.lengths.tolist()
    assert run.long_texts["train"].over_length == 6  # 8 + 1 tokens and 4 special ones; with 3 they would fit
    whole = encode_examples(FIRST, SECOND, ByteLevelTokenizer(), 64)
    (tokens,) = [line for line in said if line.startswith("  tokens ")]
    assert f" {whole.lengths.max()}; median" in tokens


def test_the_stride_is_chosen_by_the_room_that_its_template_leaves(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = prepared(place, monkeypatch, max_length=15, long_text="windows")
    assert run.settings.window_stride == 2  # (15 - 4) // 2 // 2; three special tokens would make it 3
    assert run.signature.window_stride == 2
    with pytest.raises(ConfigError, match="max_length 7 is too small for windows") as refused:
        prepared(place, monkeypatch, max_length=7, long_text="windows")
    assert refused.value.hint == "use --max-length 8 or more"
    with pytest.raises(ConfigError, match="window_stride must lie between 1 and 5"):
        prepared(place, monkeypatch, max_length=15, long_text="windows", window_stride=6)
