"""The tokenizer's files in a model directory: vocab.txt, tokenizer.json, tokenizer_config.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertune.errors import CheckpointError
from bertune.system.atomic import write_bytes
from bertune.system.json_file import MAX_FOREIGN_INTEGER, read_json_object
from bertune.tokenization.added_tokens import AddedToken, merged, names_of_special, tokens_of_entries, tokens_of_ids
from bertune.tokenization.tokenizer_files import (
    ADDED_TOKENS_FILE,
    CONFIG_FILE,
    SPECIAL_TOKENS_FILE,
    TOKENIZER_FILE,
    VOCABULARY_FILE,
)
from bertune.tokenization.tokenizer_json import TokenizerJson, read_tokenizer_json
from bertune.tokenization.tokenizer_keys import ROLES, check_class, check_keys
from bertune.tokenization.vocabulary import SPECIAL_TOKENS, looks_cased, read_vocabulary

_MODEL_CONFIG = "config.json"

# Where the two files name further tokens that are cut out of texts.
_MORE_SPECIAL = ("additional_special_tokens", "extra_special_tokens", "bos_token", "eos_token")
_AGREE = "use the files of one model; BertTokenizer(vocab_file, do_lower_case) reads a vocabulary alone"


@dataclass(frozen=True)
class TokenizerFiles:
    """What the files of a folder say.

    Args:
        pieces: in the order of their ids.
        do_lower_case: whether text is lower-cased.
        added: tokens that are cut out of texts, in the order of their ids; those beyond the pieces follow them.
    """

    pieces: list[str]
    do_lower_case: bool
    added: tuple[AddedToken, ...] = ()


def read(directory: Path) -> TokenizerFiles:
    """Reads a folder's vocabulary and all that decides the ids of a text.

    Raises:
        CheckpointError: a file is missing or broken, two disagree, or they describe another tokenizer.
    """
    vocabulary_path, json_path = directory / VOCABULARY_FILE, directory / TOKENIZER_FILE
    has_vocabulary = vocabulary_path.exists()
    described = read_tokenizer_json(json_path, beside_vocabulary=has_vocabulary) if json_path.exists() else None
    if has_vocabulary:
        pieces = read_vocabulary(vocabulary_path)
        if described is not None:
            _check_same_pieces(vocabulary_path, pieces, json_path, described.pieces)
    elif described is not None:
        pieces = described.pieces
    else:
        raise CheckpointError(
            f"{directory}: neither {VOCABULARY_FILE} nor {TOKENIZER_FILE} is there",
            hint="name the folder that has them with --tokenizer FOLDER, or copy the model's vocab.txt into this one",
        )
    config_path = directory / CONFIG_FILE
    config = _read_object(config_path)
    check_keys(config_path, config)
    if "tokenizer_class" not in config:
        # Folders of early transformers say it here.
        model_path = directory / _MODEL_CONFIG
        check_class(model_path, _read_object(model_path))
    lower_casing = _lower_casing(config_path, config, json_path, described, pieces)
    return TokenizerFiles(pieces, lower_casing, _added_tokens(directory, config, described, pieces))


def write(
    directory: Path, *, pieces: list[str], do_lower_case: bool, tokenizer_json: str, model_max_length: int
) -> None:
    """Writes the three files.

    `tokenizer_class` is the generic fast class on purpose: transformers 5 rebuilds a `BertTokenizer` from its flags and
    so drops the corrections in tokenizer.json. `split_special_tokens` keeps a literal "[SEP]" in a text plain text.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_bytes(directory / VOCABULARY_FILE, "".join(f"{piece}\n" for piece in pieces).encode())
    write_bytes(directory / TOKENIZER_FILE, tokenizer_json.encode())
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "do_lower_case": do_lower_case,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "model_max_length": model_max_length,
        **ROLES,
    }
    write_bytes(directory / CONFIG_FILE, (json.dumps(config, indent=2, allow_nan=False) + "\n").encode())


def _lower_casing(
    config_path: Path, config: Mapping[str, Any], json_path: Path, described: TokenizerJson | None, pieces: list[str]
) -> bool:
    declared = config.get("do_lower_case")
    if declared is not None and not isinstance(declared, bool):
        raise CheckpointError(f"{config_path}: do_lower_case is {declared!r}, expected true or false")
    if declared is None:
        return described.do_lower_case if described is not None else not looks_cased(pieces)
    if described is not None and described.do_lower_case != declared:
        raise CheckpointError(
            f"{config_path} says do_lower_case={declared}, the normalizer of {json_path} says the opposite", hint=_AGREE
        )
    return declared


def _added_tokens(
    directory: Path, config: Mapping[str, Any], described: TokenizerJson | None, pieces: list[str]
) -> tuple[AddedToken, ...]:
    """Gathers the tokens that any of the files adds; transformers has kept them in four places over the years."""
    config_path, map_path, ids_path = (
        directory / name for name in (CONFIG_FILE, SPECIAL_TOKENS_FILE, ADDED_TOKENS_FILE)
    )
    of_map = _read_object(map_path)
    check_keys(map_path, of_map)
    special = {
        name: path
        for path, values in ((config_path, config), (map_path, of_map))
        for key in _MORE_SPECIAL
        for name in names_of_special(values.get(key))
    }
    decoder = config.get("added_tokens_decoder") or {}
    if not isinstance(decoder, dict):
        raise CheckpointError(f"{config_path}: added_tokens_decoder is {type(decoder).__name__}, expected an object")
    sources = [
        (config_path, tokens_of_entries(config_path, decoder.items())),
        (directory / TOKENIZER_FILE, [] if described is None else described.added),
        (ids_path, tokens_of_ids(ids_path, _read_object(ids_path), special=special)),
    ]
    known = {token.content for _, tokens in sources for token in tokens}
    for name, path in special.items():
        if name in known or name in SPECIAL_TOKENS:
            continue
        if name not in pieces:
            raise CheckpointError(
                f"{path}: the special token {name!r} has no id: it is no piece of the vocabulary, and neither "
                f"{TOKENIZER_FILE} nor {ADDED_TOKENS_FILE} adds it",
                hint="copy all files that transformers saved: tokenizer.save_pretrained(FOLDER)",
            )
        sources.append((path, [AddedToken(name, pieces.index(name), normalized=False, special=True)]))
    found = merged(sources, pieces)
    if config.get("split_special_tokens") is not True:
        return found
    # Under this flag transformers leaves special tokens in a text what they are: words.
    beyond = next((token for token in found if token.special and token.id >= len(pieces)), None)
    if beyond is not None:
        raise CheckpointError(
            f"{config_path}: split_special_tokens is true, so the special token {beyond.content!r} is never found",
            hint="set it to false in this file, or add the token as one that is not special",
        )
    return tuple(token for token in found if not token.special)


def _read_object(path: Path) -> dict[str, Any]:
    """Returns the values of a JSON file, none where the file is not there."""
    return read_json_object(path, max_integer=MAX_FOREIGN_INTEGER) if path.exists() else {}


def _check_same_pieces(vocabulary_path: Path, pieces: list[str], json_path: Path, others: list[str]) -> None:
    if pieces == others:
        return

    def is_same(one: str, other: str) -> bool:
        return one == other or (not other and one.isspace())

    pairs = zip(pieces, others, strict=False)
    index = next((i for i, (one, other) in enumerate(pairs) if not is_same(one, other)), min(len(pieces), len(others)))
    if index == len(pieces) == len(others):
        return
    one, other = (repr(each[index]) if index < len(each) else "nothing" for each in (pieces, others))
    raise CheckpointError(
        f"{vocabulary_path} and {json_path} disagree: id {index} is {one} in the one and {other} in the other",
        hint=_AGREE,
    )
