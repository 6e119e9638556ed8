"""Names of the files that a tokenizer is in: the one list for all who look for them, fetch them or check them."""

from pathlib import Path
from typing import Final

from bertune.system.json_file import MAX_FOREIGN_INTEGER, read_json_object

VOCABULARY_FILE: Final = "vocab.txt"
TOKENIZER_FILE: Final = "tokenizer.json"
BPE_VOCABULARY_FILE: Final = "vocab.json"
MERGES_FILE: Final = "merges.txt"
#: Models of SentencePiece, by the names that families give them.
SENTENCEPIECE_FILES: Final = ("sentencepiece.bpe.model", "spm.model", "spiece.model", "tokenizer.model")

CONFIG_FILE: Final = "tokenizer_config.json"
# Written by transformers before its version 5; read where they are there.
ADDED_TOKENS_FILE: Final = "added_tokens.json"
SPECIAL_TOKENS_FILE: Final = "special_tokens_map.json"

#: Any of these is a vocabulary.
VOCABULARY_FILES: Final = (VOCABULARY_FILE, TOKENIZER_FILE, BPE_VOCABULARY_FILE, *SENTENCEPIECE_FILES)
#: What may stand beside one.
SIDE_FILES: Final = (CONFIG_FILE, ADDED_TOKENS_FILE, SPECIAL_TOKENS_FILE)
ALL_FILES: Final = (*VOCABULARY_FILES, MERGES_FILE, *SIDE_FILES)
#: What each tokenizer writes when it is saved, and what only some do.
ALWAYS_WRITTEN: Final = frozenset({TOKENIZER_FILE, CONFIG_FILE})
SOMETIMES_WRITTEN: Final = frozenset({VOCABULARY_FILE})

# No encoder takes as many; transformers writes 1e30 where it does not know.
_NO_LIMIT: Final = 1 << 31


def read_model_max_length(folder: Path) -> int | None:
    """Reads the most tokens that a tokenizer's files name for their model: `model_max_length`.

    Args:
        folder: with the files of a tokenizer.

    Returns:
        The number; None where no file names one, or a number that stands for none (transformers writes 1e30).

    Raises:
        CheckpointError: tokenizer_config.json is damaged.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        return None
    named = read_json_object(path, max_integer=MAX_FOREIGN_INTEGER).get("model_max_length")
    return named if type(named) is int and 0 < named < _NO_LIMIT else None
