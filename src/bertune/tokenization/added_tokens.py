"""Tokens that were added to a vocabulary after pre-training, as transformers' `add_tokens` and its files know them.

They are cut out of a text before it is split into words: `covid` as an added token is found inside of `covidwatch` too,
unless it is for single words. Each has a row of its own in the encoder's table.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertune.errors import CheckpointError
from bertune.tokenization.vocabulary import SPECIAL_TOKENS

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_TOGETHER = "use the files of one model, as transformers saved them: tokenizer.save_pretrained(FOLDER)"


@dataclass(frozen=True)
class AddedToken:
    """One token beside the vocabulary, or a piece of it that is cut out of texts.

    Args:
        content: what is looked for in a text, and the token itself.
        id: its row in the encoder's table.
        single_word: whether it is only found where no letter or digit touches it.
        lstrip: whether white space before it belongs to it.
        rstrip: whether white space behind it belongs to it.
        normalized: whether it is looked for in the text as cleaned and lower-cased, not as given.
        special: whether transformers calls it special; says nothing about ids.
    """

    content: str
    id: int
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = True
    special: bool = False


def tokens_of_entries(path: Path, entries: Iterable[tuple[object, object]]) -> list[AddedToken]:
    """Reads tokens as `added_tokens` of tokenizer.json and `added_tokens_decoder` of tokenizer_config.json hold them.

    Args:
        path: the file, for messages.
        entries: the id of each, and its values.

    Raises:
        CheckpointError: an entry is malformed.
    """
    tokens = []
    for number, values in entries:
        try:
            if not isinstance(values, Mapping):
                raise TypeError("not an object")
            flags = {name: values[name] for name in _FLAGS if name in values}
            content, id_ = values["content"], int(str(number))
            is_token = isinstance(content, str) and content != "" and id_ >= 0
            if not is_token or not all(isinstance(flag, bool) for flag in flags.values()):
                raise ValueError("not a token")
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path}: the added token {str(values)[:60]} is malformed") from error
        # As in the tokenizers library: special tokens are looked for in the text as it was given.
        tokens.append(AddedToken(content, id_, **{"normalized": not flags.get("special", False), **flags}))
    return tokens


def tokens_of_ids(path: Path, ids: Mapping[str, Any], *, special: Iterable[str]) -> list[AddedToken]:
    """Reads the tokens of added_tokens.json, which has ids alone.

    Args:
        path: the file, for messages.
        ids: its content, id by token.
        special: tokens that another file calls special.

    Raises:
        CheckpointError: an id is not a whole number.
    """
    names = set(special)
    entries = ((number, {"content": token, "special": token in names}) for token, number in ids.items())
    return tokens_of_entries(path, entries)


def merged(sources: Sequence[tuple[Path, Sequence[AddedToken]]], pieces: Sequence[str]) -> tuple[AddedToken, ...]:
    """Puts together what the files of one folder say; BERT's own special tokens are left out.

    Args:
        sources: each file with its tokens. Of two that hold the same token the first decides its flags.
        pieces: the vocabulary, in the order of its ids.

    Returns:
        The tokens in the order of their ids.

    Raises:
        CheckpointError: two files give one token two ids, or the ids do not follow the vocabulary without a gap.
    """
    found: dict[str, AddedToken] = {}
    place: dict[int, tuple[str, Path]] = {}
    for path, tokens in sources:
        for token in tokens:
            other, where = place.setdefault(token.id, (token.content, path))
            known = found.setdefault(token.content, token)
            if other != token.content or known.id != token.id:
                raise CheckpointError(
                    f"{path}: the added token {token.content!r} has the id {token.id}, "
                    f"which does not agree with {where}",
                    hint=_TOGETHER,
                )
            if token.id < len(pieces) and pieces[token.id] != token.content:
                raise CheckpointError(
                    f"{path}: the added token {token.content!r} has the id {token.id}, which is that of the piece "
                    f"{pieces[token.id]!r}",
                    hint=_TOGETHER,
                )
    in_order = sorted(found.values(), key=lambda token: token.id)
    new = [token for token in in_order if token.id >= len(pieces)]
    for expected, token in enumerate(new, start=len(pieces)):
        if token.id != expected or token.content in pieces:
            raise CheckpointError(
                f"{sources[0][0].parent}: the added token {token.content!r} has the id {token.id}, "
                f"expected {expected}, the next free one behind the vocabulary's {len(pieces):,} pieces",
                hint=_TOGETHER,
            )
    return tuple(token for token in in_order if token.content not in SPECIAL_TOKENS)


def names_of_special(values: object) -> Iterator[str]:
    """Yields the tokens of an entry such as `additional_special_tokens`: texts or objects, in a list or by role."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, Mapping) and isinstance(values.get("content"), str):
        yield values["content"]
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from names_of_special(value)
    elif isinstance(values, list):
        for value in values:
            yield from names_of_special(value)
