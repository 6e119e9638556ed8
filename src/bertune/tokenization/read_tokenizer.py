"""The tokenizer of a model folder, of whatever kind it is."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bertune.errors import CheckpointError
from bertune.system.bounded_file import read_bounded
from bertune.system.json_file import MAX_FOREIGN_INTEGER, read_json_object
from bertune.tokenization.tokenizer import BertTokenizer
from bertune.tokenization.tokenizer_files import (
    BPE_VOCABULARY_FILE,
    CONFIG_FILE,
    MERGES_FILE,
    SENTENCEPIECE_FILES,
    TOKENIZER_FILE,
    VOCABULARY_FILE,
)
from bertune.tokenization.tokenizer_keys import family_of
from bertune.tokenization.tokenizer_protocol import Tokenizer
from bertune.tokenization.vocabulary import MAX_TOKENIZER_BYTES

# Other tokenizers than BERT's are imported where a folder has one: they take a twentieth of a cold prediction's time.
if TYPE_CHECKING:
    from bertune.tokenization.library_files import LibraryFiles

_MODEL_CONFIG: Final = "config.json"
# What a tokenizer.json has that is not BERT's. A piece cannot look like it: quotes inside of one are escaped.
_OTHER_MODEL: Final = re.compile(rb'"type"\s*:\s*"(BPE|Unigram|WordLevel|RobertaProcessing)"|"(merges|unk_id)"\s*:')

_MPNET_PIECE: Final = b'"</s>"'


def read_tokenizer(directory: str | os.PathLike[str]) -> Tokenizer:
    """Reads the tokenizer that the files of a folder describe.

    tokenizer.json decides where it is there. Else the class in tokenizer_config.json, or the model in config.json,
    tells whose the vocabulary is: vocab.txt, vocab.json with merges.txt, or a model of SentencePiece.

    Args:
        directory: the folder with these files.

    Raises:
        CheckpointError: a file is missing or broken, two of them disagree, or they describe a tokenizer that is not
            supported.

    Example:
        >>> bertune.read_tokenizer("bert").template.special_count(pairs=True)
        3
    """
    folder = Path(directory)
    path, family = folder / TOKENIZER_FILE, _family(folder)
    if path.exists():
        content = read_bounded(path, MAX_TOKENIZER_BYTES)
        # A WordPiece of MPNet's has other special pieces than BERT's, which may be used with that body as well.
        if (family == "mpnet" and _MPNET_PIECE in content) or _OTHER_MODEL.search(content):
            from bertune.tokenization.library_files import read_library_json, read_settings

            return _library_tokenizer(read_library_json(path, read_settings(folder, family)))
        return BertTokenizer.from_directory(folder)
    files = _family_files(folder, family)
    return BertTokenizer.from_directory(folder) if files is None else _library_tokenizer(files)


def _library_tokenizer(files: "LibraryFiles") -> Tokenizer:
    from bertune.tokenization.library_tokenizer import LibraryTokenizer

    return LibraryTokenizer(files)


def _family(folder: Path) -> str | None:
    paths = (folder / name for name in (CONFIG_FILE, _MODEL_CONFIG))
    values = (read_json_object(path, max_integer=MAX_FOREIGN_INTEGER) for path in paths if path.exists())
    return next((family for family in map(family_of, values) if family is not None), None)


def _family_files(folder: Path, family: str | None) -> "LibraryFiles | None":
    """Reads the vocabulary of a family other than BERT's; None where there is none, or one that may be BERT's."""
    from bertune.tokenization.byte_level_files import ROLES, read_byte_level
    from bertune.tokenization.library_files import read_settings
    from bertune.tokenization.sentencepiece_files import FAMILIES, read_sentencepiece_files

    byte_level = folder / BPE_VOCABULARY_FILE
    pieces = next((folder / name for name in SENTENCEPIECE_FILES if (folder / name).exists()), None)
    if family in ROLES and byte_level.exists():
        return read_byte_level(read_settings(folder, family))
    if family in FAMILIES and pieces is not None:
        return read_sentencepiece_files(pieces, read_settings(folder, family))
    if (folder / VOCABULARY_FILE).exists():
        return None
    if pieces is not None:
        raise _unknown_family(pieces, family, FAMILIES)
    if byte_level.exists() and (folder / MERGES_FILE).exists():
        raise _unknown_family(byte_level, family, ROLES)
    if family in ROLES or family in FAMILIES:
        own = (BPE_VOCABULARY_FILE,) if family in ROLES else SENTENCEPIECE_FILES
        raise CheckpointError(
            f"{folder}: there is no vocabulary of {family}: neither {TOKENIZER_FILE} nor {' nor '.join(own)} is there",
            hint="name the folder that has one with --tokenizer FOLDER, or copy the model's files into this one",
        )
    return None


def _unknown_family(path: Path, family: str | None, families: Iterable[str]) -> CheckpointError:
    whose = f"those of {family}" if family else "those of no family that is known"
    return CheckpointError(
        f"{path}: {CONFIG_FILE} and {_MODEL_CONFIG} beside it say that the tokenizer's files are {whose}, so which ids "
        "its pieces have is not known",
        hint=f"such a file is read where model_type in config.json is one of {', '.join(families)}; else save the "
        "tokenizer as tokenizer.json: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
    )
