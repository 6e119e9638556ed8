"""A model that is laid out answers as the one that was loaded, from a file that is mapped."""

from pathlib import Path

import numpy as np
import pytest
from tests.unit.serving.small_models import KINDS, small_model

from bertune.checkpoints.mapped_model import lay_out, load_mapped
from bertune.errors import CheckpointError
from bertune.evaluation.logits import predict_logits
from bertune.tokenization.encode_texts import encode_examples


@pytest.mark.parametrize("kind", ["single", "pair", "several", "value"])
def test_what_is_laid_out_is_the_model_and_is_mapped(tmp_path: Path, kind: str) -> None:
    model = small_model(tmp_path / "small", KINDS[kind])
    lay_out(model, tmp_path / "out")
    mapped = load_mapped(tmp_path / "out")
    assert mapped.signature.labels == model.signature.labels
    assert mapped.signature.temperature == model.signature.temperature
    texts = ["the film was good", "a bad plot"]
    encoded = encode_examples(texts, texts if model.signature.is_pair else None, mapped.tokenizer, 32)
    assert np.array_equal(predict_logits(mapped.classifier, encoded), predict_logits(model.classifier, encoded))
    file = str(tmp_path / "out" / "weights.pt")
    spans = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines() if file in line]
    for parameter in mapped.classifier.parameters():
        assert any(int(first, 16) <= parameter.data_ptr() < int(last, 16) for first, last in spans)
        assert parameter.data_ptr() % 64 == 0


def test_a_file_that_is_cut_is_one_error(tmp_path: Path) -> None:
    lay_out(small_model(tmp_path / "small", KINDS["single"]), tmp_path / "out")
    path = tmp_path / "out" / "weights.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"weights\.pt: cannot be read"):
        load_mapped(tmp_path / "out")
