from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bertune.checkpoints.signature import ModelSignature
from bertune.models.bert import BERT, BertConfig
from bertune.models.classifier import Classifier, classifier_model
from bertune.models.encoder import Encoder
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
def sizes() -> BertConfig:
    return SIZES


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return randomized(Encoder.from_config(SIZES)).eval()


def randomized(module: Encoder) -> Encoder:
    """Gives biases and norms numbers of their own too, so that none can be mistaken for another."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return module


@pytest.fixture
def tensors(encoder: Encoder) -> dict[str, Tensor]:
    """The encoder's weights under transformers' names, without prefix."""
    named: dict[str, Tensor] = {}
    for name, parameter in encoder.named_parameters():
        targets = BERT.names.stored_names(name)
        named |= dict(zip(targets, (part.clone() for part in parameter.detach().chunk(len(targets))), strict=True))
    return named


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes tensors as a model folder and returns it."""

    def to_folder(tensors: dict[str, Tensor], name: str = "checkpoint") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return to_folder


@pytest.fixture
def fresh() -> Encoder:
    """An encoder of the same sizes with other weights."""
    torch.manual_seed(1)
    return Encoder.from_config(SIZES).eval()


@pytest.fixture
def tokenizer() -> BertTokenizer:
    return BertTokenizer(SMALL_VOCAB, do_lower_case=False)


@pytest.fixture
def signature() -> ModelSignature:
    return ModelSignature(labels=("different", "same"), is_pair=True, max_length=48, task="mrpc", label_counts=(3, 5))


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(2)
    classifier, encoder = classifier_model(SIZES, 2)
    randomized(encoder)
    return classifier.eval()
