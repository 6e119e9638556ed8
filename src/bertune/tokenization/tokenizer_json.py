"""What a tokenizer.json says about BERT's WordPiece: the pieces, the tokens beside them and the lower-casing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertune.errors import CheckpointError
from bertune.system.json_file import read_json_object
from bertune.tokenization.added_tokens import AddedToken, tokens_of_entries
from bertune.tokenization.vocabulary import MAX_PIECES, MAX_VOCABULARY_BYTES, UNK, check_pieces

_SUPPORTED = "only BERT-family WordPiece tokenizers are supported"


@dataclass(frozen=True)
class TokenizerJson:
    """The part of the file that decides the ids.

    Attributes:
        pieces: in the order of their ids.
        do_lower_case: what the normalizer does.
        added: tokens that are cut out of texts, BERT's own special tokens among them.
    """

    pieces: list[str]
    do_lower_case: bool
    added: list[AddedToken]


def read_tokenizer_json(path: Path, *, beside_vocabulary: bool = False) -> TokenizerJson:
    """Reads a file of the `tokenizers` library.

    `max_input_chars_per_word` is not read: here it is always the original's 400.

    Args:
        path: the file.
        beside_vocabulary: whether a vocab.txt has the pieces too. One may then be empty here: the library strips a
            piece such as U+2028 when it converts a vocab.txt.

    Raises:
        CheckpointError: not JSON, another model than WordPiece, ids with gaps, or a normalizer that is not BERT's.
    """
    try:
        content = read_json_object(path, max_bytes=MAX_VOCABULARY_BYTES)
        model = content["model"]
        kind = model.get("type") or ("WordPiece" if "max_input_chars_per_word" in model else "of no declared type")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a tokenizer file ({type(error).__name__}: {error})") from error
    if kind != "WordPiece":
        raise CheckpointError(f"{path}: the model is {kind}, expected WordPiece", hint=_SUPPORTED)
    for key, expected in (("unk_token", UNK), ("continuing_subword_prefix", "##")):
        if model.get(key) != expected:
            raise CheckpointError(f"{path}: {key} is {model.get(key)!r}, expected {expected!r}", hint=_SUPPORTED)
    listed = content.get("added_tokens") or []
    if not isinstance(listed, list):
        raise CheckpointError(f"{path}: added_tokens is {type(listed).__name__}, expected a list")
    added = tokens_of_entries(path, ((token.get("id") if isinstance(token, dict) else None, token) for token in listed))
    pieces = _pieces(path, model.get("vocab"), may_be_empty=beside_vocabulary)
    return TokenizerJson(pieces, _lower_cases(path, content.get("normalizer")), added)


def _pieces(path: Path, vocab: object, *, may_be_empty: bool) -> list[str]:
    if not isinstance(vocab, dict) or not vocab:
        raise CheckpointError(f"{path}: the vocabulary is empty")
    if len(vocab) > MAX_PIECES:
        raise CheckpointError(f"{path}: {len(vocab):,} pieces, more than any vocabulary has")
    if set(map(type, vocab.values())) != {int}:
        raise CheckpointError(f"{path}: an id of the vocabulary is no whole number")
    pieces = list(vocab)
    if list(vocab.values()) != list(range(len(vocab))):
        pieces.sort(key=vocab.__getitem__)
        for expected, piece in enumerate(pieces):
            if vocab[piece] != expected:
                raise CheckpointError(
                    f"{path}: the id of {piece!r} is {vocab[piece]}, expected {expected}: ids have a gap"
                )
    # A key cannot stand twice, so one piece at most is empty; those behind it have the next number.
    empty = pieces.index("") if may_be_empty and "" in vocab else len(pieces)
    checked = pieces[:empty] + pieces[empty + 1 :]
    check_pieces(checked, lambda index: f"{path}, id {index + (index >= empty)}", str(path))
    return pieces


def _lower_cases(path: Path, normalizer: Any) -> bool:
    """True, False, or an error: BertNormalizer, or the steps that this package writes itself."""
    steps = normalizer.get("normalizers", [normalizer]) if isinstance(normalizer, dict) else []
    steps = steps if isinstance(steps, list) else []
    kinds = [step.get("type") if isinstance(step, dict) else None for step in steps]
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
