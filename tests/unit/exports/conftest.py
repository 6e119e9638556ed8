"""Small fine-tuned models of every kind, as folders."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bertune import export
from bertune.checkpoints.model_folder import save
from bertune.checkpoints.signature import ModelSignature
from bertune.models.bert import BertConfig
from bertune.models.classifier import classifier_model
from bertune.tokenization.tokenizer import BertTokenizer

SMALL_VOCAB = Path(__file__).parents[2] / "golden" / "small_cased_vocab.txt"
TEXTS = [("one text", "and another"), ("a", "b"), ("some more words", "c")]
SIZES = BertConfig(
    vocab_size=1008,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=64,
    initializer_range=0.2,
)


def write_model(
    folder: Path,
    *,
    pooling: Any = "cls",
    labels: tuple[str, ...] = ("different", "same"),
    kind: Any = "classification",
    long_text: Any = "first",
    temperature: float = 1.0,
    thresholds: tuple[float, ...] = (),
    **sizes: Any,
) -> Path:
    """Writes a model with numbers of its own everywhere."""
    torch.manual_seed(0)
    config = replace(SIZES, **sizes)
    classifier, _ = classifier_model(config, max(1, len(labels)), pooling=pooling)
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    signature = ModelSignature(
        labels=labels,
        is_pair=True,
        max_length=48,
        kind=kind if labels else "regression",
        pooling=pooling,
        metrics=("accuracy",) if labels else ("pearson",),
        long_text=long_text,
        temperature=temperature,
        thresholds=thresholds,
        window_stride=11 if long_text == "windows" else None,
    )
    tokenizer = BertTokenizer(SMALL_VOCAB, do_lower_case=False)
    return save(classifier, folder, tokenizer=tokenizer, signature=signature)


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Writes such a model, and returns its folder."""
    return lambda name="model", **given: write_model(tmp_path / name, **given)


@pytest.fixture(scope="session")
def onnx_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export to ONNX that nobody changes."""
    folder = tmp_path_factory.mktemp("exported")
    export(write_model(folder / "model", temperature=0.5), folder / "onnx", format="onnx", proof_rows=TEXTS)
    return folder / "onnx"


@pytest.fixture
def copied(onnx_export: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(onnx_export, tmp_path / "copied")
