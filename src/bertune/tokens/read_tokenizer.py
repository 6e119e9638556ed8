"""The tokenizer of a model folder, of whatever kind it is."""

import os

from bertune.tokens.tokenizer import BertTokenizer
from bertune.tokens.tokenizer_protocol import Tokenizer


def read_tokenizer(directory: str | os.PathLike[str]) -> Tokenizer:
    """Reads the tokenizer that the files of a folder describe.

    Args:
        directory: the folder with vocab.txt or tokenizer.json.

    Raises:
        CheckpointError: a file is missing or broken, two of them disagree, or they describe a tokenizer that is not
            supported.

    Example:
        >>> bertune.read_tokenizer("bert").template.special_count(pairs=True)
        3
    """
    return BertTokenizer.from_directory(directory)
