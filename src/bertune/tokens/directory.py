"""The tokenizer's files in a model directory: vocab.txt, tokenizer.json, tokenizer_config.json."""

import json
from pathlib import Path
from typing import Any

from bertune.errors import CheckpointError
from bertune.tokens.tokenizer_json import TokenizerJson, read_tokenizer_json
from bertune.tokens.vocabulary import CLS, MASK, PAD, SEP, SPECIAL_TOKENS, UNK, looks_cased, read_vocabulary

VOCABULARY_FILE = "vocab.txt"
TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"

_ROLES = {"unk_token": UNK, "sep_token": SEP, "pad_token": PAD, "cls_token": CLS, "mask_token": MASK}
_AGREE = "use the files of one model; BertTokenizer(vocab_file, do_lower_case) reads a vocabulary alone"


def read(directory: Path) -> tuple[list[str], bool]:
    """Reads the pieces in the order of their ids, and whether text is lower-cased.

    Raises:
        CheckpointError: a file is missing or broken, two disagree, or they describe another tokenizer.
    """
    vocabulary_path, json_path = directory / VOCABULARY_FILE, directory / TOKENIZER_FILE
    described = read_tokenizer_json(json_path) if json_path.exists() else None
    if vocabulary_path.exists():
        pieces = read_vocabulary(vocabulary_path)
        if described is not None:
            _check_same_pieces(vocabulary_path, pieces, json_path, described.pieces)
    elif described is not None:
        pieces = described.pieces
    else:
        raise CheckpointError(
            f"{directory}: neither {VOCABULARY_FILE} nor {TOKENIZER_FILE} is there",
            hint="give the directory of a BERT model, or download its vocab.txt",
        )
    return pieces, _lower_casing(directory / CONFIG_FILE, json_path, described, pieces)


def write(
    directory: Path, *, pieces: list[str], do_lower_case: bool, tokenizer_json: str, model_max_length: int
) -> None:
    """Writes the three files.

    `tokenizer_class` is the generic fast class on purpose: transformers 5 rebuilds a `BertTokenizer` from its flags and
    so drops the corrections in tokenizer.json. `split_special_tokens` keeps a literal "[SEP]" in a text plain text.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / VOCABULARY_FILE).write_bytes("".join(f"{piece}\n" for piece in pieces).encode())
    (directory / TOKENIZER_FILE).write_bytes(tokenizer_json.encode())
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "do_lower_case": do_lower_case,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "model_max_length": model_max_length,
        **_ROLES,
    }
    (directory / CONFIG_FILE).write_bytes((json.dumps(config, indent=2) + "\n").encode())


def _lower_casing(config_path: Path, json_path: Path, described: TokenizerJson | None, pieces: list[str]) -> bool:
    config = _read_config(config_path) if config_path.exists() else {}
    _check_config(config_path, config)
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


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(config).__name__}")
    return config


def _check_config(path: Path, config: dict[str, Any]) -> None:
    """Refuses flags under which the ids would not be Google's."""
    for role, expected in _ROLES.items():
        given = config.get(role)
        given = given.get("content") if isinstance(given, dict) else given
        if given not in (None, expected):
            raise CheckpointError(f"{path}: {role} is {given!r}, only BERT's {expected!r} is supported")
    lower = config.get("do_lower_case")
    strip = config.get("strip_accents")
    if strip is not None and isinstance(lower, bool) and strip != lower:
        raise CheckpointError(
            f"{path}: strip_accents={strip} with do_lower_case={lower}, but BERT strips accents if it lower-cases"
        )
    for flag in ("tokenize_chinese_chars", "do_basic_tokenize"):
        if config.get(flag) is False:
            raise CheckpointError(f"{path}: {flag}=false, but BERT's tokenizer always does this step")
    added = config.get("added_tokens_decoder")
    for token in added.values() if isinstance(added, dict) else ():
        content = token.get("content") if isinstance(token, dict) else token
        if content not in SPECIAL_TOKENS:
            raise CheckpointError(f"{path}: adds the token {content!r}; tokens outside of WordPiece are not supported")


def _check_same_pieces(vocabulary_path: Path, pieces: list[str], json_path: Path, others: list[str]) -> None:
    if pieces == others:
        return
    pairs = zip(pieces, others, strict=False)
    index = next((i for i, (one, other) in enumerate(pairs) if one != other), min(len(pieces), len(others)))
    one, other = (repr(each[index]) if index < len(each) else "nothing" for each in (pieces, others))
    raise CheckpointError(
        f"{vocabulary_path} and {json_path} disagree: id {index} is {one} in the one and {other} in the other",
        hint=_AGREE,
    )
