"""Small fine-tuned models of every kind, as folders."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bertune.checkpoints.model_folder import save
from bertune.checkpoints.signature import ModelSignature
from bertune.models.bert import BertConfig
from bertune.models.classifier import classifier_model
from bertune.tokenization.tokenizer import BertTokenizer

SMALL_VOCAB = Path(__file__).parents[2] / "golden" / "small_cased_vocab.txt"
SIZES = BertConfig(
    vocab_size=1008,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=64,
    initializer_range=0.2,
)


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model with numbers of its own everywhere, and returns its folder."""

    def make(
        name: str = "model",
        *,
        pooling: Any = "cls",
        labels: tuple[str, ...] = ("different", "same"),
        kind: Any = "classification",
        long_text: Any = "first",
        temperature: float = 1.0,
        thresholds: tuple[float, ...] = (),
        **sizes: Any,
    ) -> Path:
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
        return save(classifier, tmp_path / name, tokenizer=tokenizer, signature=signature)

    return make
