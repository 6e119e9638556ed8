"""A tiny classifier and a data set it can learn."""

import numpy as np
import pytest
import torch

from bertune.batches.dataset import Dataset
from bertune.models.bert import BertConfig
from bertune.models.classifier import Classifier, classifier_model
from bertune.models.encoder_config import EncoderConfig
from bertune.tokenization.encode_texts import EncodedExamples

SIZES = BertConfig(
    vocab_size=40,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,  # heads of 16, which compiled kernels take
    intermediate_size=64,
    max_position_embeddings=32,
)


def make_classifier(seed: int = 0, *, outputs: int = 2, config: EncoderConfig = SIZES) -> Classifier:
    torch.manual_seed(seed)
    return classifier_model(config, outputs, pooling=config.pooling)[0]


def make_dataset(examples: int, seed: int) -> Dataset:
    """Examples of 5 to 20 tokens whose class is told by one token, 5 or 6."""
    source = np.random.default_rng(seed)
    lengths = source.integers(5, 21, examples)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    token_ids = source.integers(7, 40, offsets[-1])
    targets = source.integers(0, 2, examples)
    token_ids[offsets[:-1]] = 2
    token_ids[offsets[:-1] + source.integers(1, lengths)] = 5 + targets
    encoded = EncodedExamples(
        token_ids.astype(np.uint16), offsets, lengths.astype(np.int32), np.zeros(examples, dtype=bool), 32
    )
    return Dataset(encoded, targets)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
