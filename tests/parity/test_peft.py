"""Adapters that bertune trained, loaded by peft on the encoder they were trained on: the merged model's logits."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.unit.exports.test_onnx import CONFIGS
from tests.unit.training.conftest import make_dataset
from tests.unit.training.test_adapters import LORA, adapted

from bertune.checkpoints.adapter_folder import write_adapter
from bertune.checkpoints.model_folder import config_values, stored_tensors
from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation.logits import predict_logits
from bertune.models.classifier import Classifier, classifier_model

# What transformers calls deprecated, peft still asks for.
pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore::FutureWarning")]


def write_base(folder: Path, classifier: Classifier) -> None:
    """Writes what transformers loads."""
    folder.mkdir()
    values = config_values(classifier, ModelSignature(labels=("no", "yes"), is_pair=False, max_length=32))
    (folder / "config.json").write_text(json.dumps(values))
    save_file(stored_tensors(classifier), folder / "model.safetensors", metadata={"format": "pt"})


FAMILIES = ("bert", "roberta", "distilbert", "electra", "deberta", "modernbert", "albert")


# Of ALBERT, whose layers share their weights, no layer can be frozen alone.
@pytest.mark.parametrize(
    ("name", "freeze"), [*((name, None) for name in FAMILIES), *((name, 1) for name in FAMILIES if name != "albert")]
)
def test_peft_gives_the_logits_of_the_merged_model(name: str, freeze: int | None, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the peer package peft is not installed")
    from transformers import AutoModelForSequenceClassification

    config = CONFIGS[name]
    classifier, _ = classifier_model(config, 2, seed=1)
    write_base(tmp_path / "base", classifier)
    train = make_dataset(60, 1)
    adapters = adapted(classifier, train, replace(LORA, learning_rate=1e-2, freeze=freeze))
    write_adapter(tmp_path / "adapter", classifier, adapters.updates, adapters.sizes, base_model=str(tmp_path / "base"))
    base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", attn_implementation="eager").eval()
    with torch.no_grad():  # a head that peft must replace
        base.get_parameter(next(n for n, _ in base.named_parameters() if n.startswith("classifier"))).normal_()
    model = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    expected = predict_logits(classifier, train)
    encoded = train.encoded
    for row in range(10):
        ids = torch.from_numpy(encoded.token_ids[encoded.offsets[row] : encoded.offsets[row + 1]].astype(np.int64))
        with torch.no_grad():
            logits = model(input_ids=ids[None], attention_mask=torch.ones(1, len(ids), dtype=torch.long)).logits
        assert float((logits[0] - torch.from_numpy(expected[row])).abs().max()) < 1e-5
