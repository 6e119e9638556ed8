"""The original package restores what bertune writes, with assert_consumed and equal outputs."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.golden.tf_checkpoints_folder import outputs, unpack

from bertune import BertTokenizer, LoadedModel, ModelSignature, classifier_model, export
from bertune.checkpoints.tensorflow_writer import write_tf_checkpoint
from bertune.models.bert import BertConfig

# The Python of an environment with tf-models-official 2.20.0.
ORIGINAL = os.environ.get("BERTUNE_ORIGINAL_PYTHON", "")
SCRIPT = Path(__file__).parent / "restore_with_the_original.py"
INPUTS = ("input_word_ids", "input_mask", "input_type_ids")


@pytest.mark.peer
@pytest.mark.skipif(not ORIGINAL, reason="BERTUNE_ORIGINAL_PYTHON names no Python with tf-models-official")
def test_the_original_restores_what_bertune_writes(tmp_path: Path) -> None:
    folder, golden = unpack("functional", tmp_path), outputs()
    torch.manual_seed(0)
    classifier, encoder = classifier_model(BertConfig.from_json_file(folder / "bert_config.json"), 3)
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    classifier.eval()
    write_tf_checkpoint(encoder, folder / "encoder")
    write_tf_checkpoint(classifier, folder / "classifier")
    signature = ModelSignature(("a", "b", "c"), is_pair=True, max_length=32)
    model = LoadedModel(classifier, BertTokenizer(folder / "vocab.txt"), signature)
    assert export(model, folder / "exported", format="tf_checkpoint").warnings == ()
    inputs = {name: golden[name] for name in INPUTS}
    with torch.no_grad():
        output, logits = encoder(inputs), classifier(inputs)
    assert output.pooled is not None
    arrays = {"sequence": output.last_hidden_state, "pooled": output.pooled, "logits": logits}
    np.savez(folder / "outputs.npz", **inputs, **{name: value.numpy() for name, value in arrays.items()})
    ran = subprocess.run(
        [ORIGINAL, str(SCRIPT), str(folder)],
        capture_output=True,
        text=True,
        # Its environment is its own: our sources are not put on its path.
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    differences = json.loads(ran.stdout.splitlines()[-1])
    print(differences)
    assert len(differences) == 10
    assert all(difference <= 1e-5 for difference in differences.values())
