"""Names of the files that a tokenizer is in: the one list for all who look for them, fetch them or check them."""

from typing import Final

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
