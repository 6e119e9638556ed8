from pathlib import Path

import pytest

from bertune.tokenization.tokenizer import BertTokenizer

SMALL_VOCAB = Path(__file__).parents[2] / "golden" / "small_cased_vocab.txt"
TINY_PIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c ##a ##b ab , [ ] sep é e"


@pytest.fixture
def tiny_vocab(tmp_path: Path) -> Path:
    path = tmp_path / "tiny" / "vocab.txt"
    path.parent.mkdir()
    path.write_text("".join(f"{piece}\n" for piece in TINY_PIECES.split()), encoding="utf-8")
    return path


@pytest.fixture
def tokenizer(tiny_vocab: Path) -> BertTokenizer:
    return BertTokenizer(tiny_vocab)


@pytest.fixture
def small_vocab() -> Path:
    return SMALL_VOCAB
