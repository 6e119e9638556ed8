"""What a tokenizer.json says about BERT's WordPiece: the pieces and the lower-casing."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertune.errors import CheckpointError
from bertune.tokens.vocabulary import SPECIAL_TOKENS, UNK, check_pieces

_SUPPORTED = "only BERT-family WordPiece tokenizers are supported"


@dataclass(frozen=True)
class TokenizerJson:
    """The part of the file that decides the ids.

    Attributes:
        pieces: in the order of their ids.
        do_lower_case: what the normalizer does.
    """

    pieces: list[str]
    do_lower_case: bool


def read_tokenizer_json(path: Path) -> TokenizerJson:
    """Reads a file of the `tokenizers` library.

    `max_input_chars_per_word` is not read: here it is always the original's 400.

    Raises:
        CheckpointError: not JSON, another model than WordPiece, ids with gaps, tokens added beside the vocabulary, or a
            normalizer that is not BERT's.
    """
    try:
        content = json.loads(path.read_bytes())
        model = content["model"]
        kind = model.get("type") or ("WordPiece" if "max_input_chars_per_word" in model else "of no declared type")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a tokenizer file ({type(error).__name__}: {error})") from error
    if kind != "WordPiece":
        raise CheckpointError(f"{path}: the model is {kind}, expected WordPiece", hint=_SUPPORTED)
    for key, expected in (("unk_token", UNK), ("continuing_subword_prefix", "##")):
        if model.get(key) != expected:
            raise CheckpointError(f"{path}: {key} is {model.get(key)!r}, expected {expected!r}", hint=_SUPPORTED)
    for token in content.get("added_tokens") or ():
        if token.get("content") not in SPECIAL_TOKENS:
            raise CheckpointError(
                f"{path}: adds the token {token.get('content')!r}; tokens outside of WordPiece are not supported"
            )
    return TokenizerJson(_pieces(path, model.get("vocab")), _lower_cases(path, content.get("normalizer")))


def _pieces(path: Path, vocab: object) -> list[str]:
    if not isinstance(vocab, dict) or not vocab:
        raise CheckpointError(f"{path}: the vocabulary is empty")
    pieces = sorted(vocab, key=vocab.__getitem__)
    for expected, piece in enumerate(pieces):
        if vocab[piece] != expected:
            raise CheckpointError(f"{path}: the id of {piece!r} is {vocab[piece]}, expected {expected}: ids have a gap")
    check_pieces(pieces, [f"{path}, id {index}" for index in range(len(pieces))], str(path))
    return pieces


def _lower_cases(path: Path, normalizer: Any) -> bool:
    """True, False, or an error: BertNormalizer, or the steps that this package writes itself."""
    steps = normalizer.get("normalizers", [normalizer]) if isinstance(normalizer, dict) else []
    kinds = [step.get("type") for step in steps]
    if kinds == ["BertNormalizer"]:
        (bert,) = steps
        lower, strip = bert.get("lowercase"), bert.get("strip_accents")
        regular = bert.get("clean_text") is True and bert.get("handle_chinese_chars") is True
        if isinstance(lower, bool) and regular and strip in (None, lower):
            return lower
    elif kinds == ["Replace"]:
        return False
    elif kinds == ["Replace", "Replace", "Replace", "Replace", "Lowercase", "NFD", "Replace"]:
        return True
    raise CheckpointError(
        f"{path}: the normalizer ({', '.join(map(str, kinds)) or 'none'}) is not BERT's, so the ids would differ",
        hint=_SUPPORTED,
    )
