"""The fixtures of `tokenization`."""

from tests.unit.tokenization.conftest import small_vocab as small_vocab
from tests.unit.tokenization.conftest import tiny_vocab as tiny_vocab
from tests.unit.tokenization.conftest import tokenizer as tokenizer
