"""An ONNX file that bertune writes, read by a runtime that bertune does not prove it with."""

from pathlib import Path

import numpy as np
import pytest
from tests.unit.exports.test_onnx import CONFIGS, model_of, rows_of

from bertune.evaluation.logits import predict_logits
from bertune.exports import onnx_program

pytestmark = pytest.mark.peer
_NAMES = {"input_ids": "input_word_ids", "attention_mask": "input_mask", "token_type_ids": "input_type_ids"}


@pytest.mark.parametrize("name", ["bert", "roberta", "mpnet", "albert", "electra", "modernbert", "deberta"])
def test_openvino_gives_the_same_logits(name: str, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="the peer package openvino is not installed")
    model, rows = model_of(CONFIGS[name], "cls"), rows_of(CONFIGS[name])
    (tmp_path / "model.onnx").write_bytes(onnx_program.onnx_model(model).SerializeToString())
    core = openvino.Core()
    # Otherwise it takes bf16 where the processor has it.
    compiled = core.compile_model(tmp_path / "model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = [given.any_name for given in compiled.inputs]
    answered = [
        compiled({name: batch[_NAMES[name]].astype(np.int64) for name in names})["logits"]
        for batch in rows.padded_batches()
    ]
    expected = predict_logits(model.classifier, rows.encoded)
    assert np.abs(np.concatenate(answered) - expected).max() < 1e-4
