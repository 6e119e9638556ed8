"""What a tokenizer's files say of the most tokens that their model takes."""

import json
from pathlib import Path

import pytest
from tests.end_to_end.world import BAD, GOOD, SPECIAL, write_encoder

from bertune.errors import CheckpointError
from bertune.tokenization.tokenizer_files import read_model_max_length
from bertune.training.config import TrainingConfig
from bertune.training.prepare import prepare
from bertune.training.run_settings import RunSettings

CONFIG = TrainingConfig(recipe="lesson", epochs=1, batch_size=8, learning_rate=1e-3, precision="fp32")


@pytest.mark.parametrize(
    ("written", "read"),
    [("512", 512), ("1000000000000000019884624838656", None), ("1e30", None), ("0", None), ('"512"', None)],
)
def test_a_number_that_can_be_a_length_is_one(tmp_path: Path, written: str, read: int | None) -> None:
    (tmp_path / "tokenizer_config.json").write_text(f'{{"model_max_length": {written}}}')
    assert read_model_max_length(tmp_path) == read


def test_a_folder_may_name_none(tmp_path: Path) -> None:
    assert read_model_max_length(tmp_path) is None
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json"):
        read_model_max_length(tmp_path)


@pytest.mark.parametrize("max_length", [16, 17])
def test_training_on_longer_texts_is_told(tmp_path: Path, max_length: int) -> None:
    model = write_encoder(tmp_path / "model", [*SPECIAL, *GOOD, *BAD])
    (model / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "model_max_length": 16}))
    rows = [f"{(GOOD if row % 2 else BAD)[row % 3]},{row % 2}" for row in range(12)]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    said: list[str] = []
    settings = RunSettings(
        data=str(tmp_path / "train.csv"),
        out=tmp_path / "run",
        model=str(model),
        text_a="text",
        label="label",
        validation="none",
        max_length=max_length,
    )
    prepare(settings, CONFIG, say=said.append)
    told = [line for line in said if "model_max_length" in line]
    assert told == (
        []
        if max_length == 16
        else [
            "warning: --max-length 17 is more than the 16 tokens that the tokenizer's files name for this model "
            "(model_max_length): it may not have been trained on longer texts"
        ]
    )
