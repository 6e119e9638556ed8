"""The files of a tokenizer that the `tokenizers` library runs, read into one tokenizer.json and what it leaves open."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bertune.errors import CheckpointError
from bertune.system.atomic import write_bytes
from bertune.system.bounded_file import read_bounded
from bertune.system.json_file import MAX_FOREIGN_INTEGER, read_json_object
from bertune.tokenization.added_tokens import AddedToken, names_of_special, tokens_of_entries, tokens_of_ids
from bertune.tokenization.pair_template import PairTemplate
from bertune.tokenization.post_processor import read_template
from bertune.tokenization.tokenizer_files import ADDED_TOKENS_FILE, CONFIG_FILE, SPECIAL_TOKENS_FILE, TOKENIZER_FILE
from bertune.tokenization.tokenizer_keys import check_library_keys
from bertune.tokenization.vocabulary import MAX_PIECES, MAX_TOKENIZER_BYTES

# A piece with its score, or a merge, is one; each takes some hundred bytes of memory when it is read.
_MAX_LISTS: Final = 3_000_000

_MODELS = ("BPE", "Unigram", "WordPiece")
_ROLES = ("cls_token", "sep_token", "pad_token", "unk_token", "mask_token", "bos_token", "eos_token")
_MORE_SPECIAL = ("additional_special_tokens", "extra_special_tokens")
_PAD_PIECES = ("<pad>", "[PAD]")
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_TOGETHER = "use the files of one model, as transformers saved them: tokenizer.save_pretrained(FOLDER)"


@dataclass(frozen=True, repr=False)
class LibraryFiles:
    """What the files of a folder say.

    Args:
        path: the file that has the vocabulary, for messages.
        values: as in a tokenizer.json, with the tokens that any of the files adds; without truncation and padding.
        template: where the special tokens stand, as the post-processor says.
        roles: special tokens by their roles, such as `cls_token`.
        splits_special: whether special tokens in a text are plain text.
        has_types: whether the model takes token types.
    """

    path: Path
    values: dict[str, Any]
    template: PairTemplate
    roles: Mapping[str, str]
    splits_special: bool = False
    has_types: bool = True

    @property
    def model(self) -> dict[str, Any]:
        """The values of the model: its kind, its vocabulary."""
        model: dict[str, Any] = self.values["model"]
        return model


@dataclass(frozen=True)
class TokenizerSettings:
    """What the small files beside a vocabulary say.

    Args:
        folder: they are in.
        config: values of tokenizer_config.json.
        special_map: values of special_tokens_map.json.
        ids: values of added_tokens.json.
        family: of the tokenizer, such as `roberta`; None where nothing tells.
    """

    folder: Path
    config: Mapping[str, Any]
    special_map: Mapping[str, Any]
    ids: Mapping[str, Any]
    family: str | None

    def flag(self, name: str, default: bool) -> bool:
        """Returns a setting that is true or false.

        Raises:
            CheckpointError: it is neither.
        """
        given = self.config.get(name)
        if given is not None and not isinstance(given, bool):
            raise CheckpointError(f"{self.folder / CONFIG_FILE}: {name} is {given!r:.60}, expected true or false")
        return default if given is None else given

    def role(self, name: str) -> str | None:
        """Returns the token that has a role, such as `mask_token`; None where no file says."""
        sources = (self.config, self.special_map)
        return next((token for source in sources for token in names_of_special(source.get(name))), None)

    def flags_of(self, token: str) -> dict[str, bool]:
        """Returns how a special token is looked for, where a file says so beside its role."""
        roles = (source.get(role) for source in (self.config, self.special_map) for role in _ROLES)
        found = (role for role in roles if isinstance(role, Mapping) and role.get("content") == token)
        return {name: role[name] for role in found for name in _FLAGS if isinstance(role.get(name), bool)}


def read_settings(folder: Path, family: str | None) -> TokenizerSettings:
    """Reads the small files beside a vocabulary.

    Raises:
        CheckpointError: one is broken, or says what is not known.
    """
    config, special_map, ids = (
        read_json_object(path, max_integer=MAX_FOREIGN_INTEGER) if path.exists() else {}
        for path in (folder / name for name in (CONFIG_FILE, SPECIAL_TOKENS_FILE, ADDED_TOKENS_FILE))
    )
    check_library_keys(folder / CONFIG_FILE, config)
    check_library_keys(folder / SPECIAL_TOKENS_FILE, special_map)
    return TokenizerSettings(folder, config, special_map, ids, family)


def read_library_json(path: Path, settings: TokenizerSettings) -> LibraryFiles:
    """Reads a tokenizer.json with what the files beside it add.

    Raises:
        CheckpointError: a file is broken, two disagree, or they describe what is not supported.
    """
    content = read_bounded(path, MAX_TOKENIZER_BYTES)
    if content.count(b"[") + content.count(b"{") > _MAX_LISTS:
        raise CheckpointError(f"{path}: more than {_MAX_LISTS:,} lists, more than any tokenizer has")
    values = read_json_object(path, max_bytes=MAX_TOKENIZER_BYTES, max_integer=MAX_FOREIGN_INTEGER)
    model = values.get("model")
    if not isinstance(model, dict):
        raise CheckpointError(f"{path}: not a tokenizer file (no model in it)")
    padding = values.get("padding")
    pad = padding.get("pad_token") if isinstance(padding, Mapping) else None
    _check_prefix_space(path, values, settings)
    return with_settings(path, values, settings, pad=pad if isinstance(pad, str) else None)


def with_settings(
    path: Path, values: Mapping[str, Any], settings: TokenizerSettings, *, pad: str | None = None
) -> LibraryFiles:
    """Puts together a tokenizer.json and what the files beside it add to it.

    Args:
        path: the file with the vocabulary, for messages.
        values: as in a tokenizer.json.
        settings: of the other files.
        pad: the padding piece where these name none.

    Raises:
        CheckpointError: two disagree, or they describe what is not supported.
    """
    model = dict(values["model"])
    model["type"] = _checked_kind(path, model)
    ids = _ids_of(path, model)
    added = _with_added(path, values.get("added_tokens"), ids, settings)
    known = ids | {token.content: token.id for token in added}
    roles = {role: token for role in _ROLES if (token := settings.role(role)) is not None and token in known}
    pads = (roles.get("pad_token"), pad, *_PAD_PIECES)
    roles["pad_token"] = next((piece for piece in pads if piece is not None and piece in known), "")
    if not roles["pad_token"]:
        raise CheckpointError(
            f"{path}: there is no padding piece: {settings.folder / CONFIG_FILE} names none that is in the vocabulary",
            hint='name it there, such as "pad_token": "<pad>"',
        )
    template = read_template(path, values.get("post_processor"), known.get)
    inputs = settings.config.get("model_input_names")
    return LibraryFiles(
        path,
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": token.id, "content": token.content} | _flags(token) for token in added],
            **{part: values.get(part) for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder")},
            "model": model,
        },
        template,
        roles,
        splits_special=settings.flag("split_special_tokens", default=False),
        has_types=not isinstance(inputs, list) or "token_type_ids" in inputs,
    )


def digest_of(files: LibraryFiles, *also: object) -> str:
    """Returns the SHA-256, hexadecimal, over all that decides the ids of a text, and over what else is given."""
    parts = {key: value for key, value in files.values.items() if key not in ("decoder", "model", "version")}
    head = json.dumps([parts, files.splits_special, *map(str, also)], sort_keys=True, allow_nan=False)
    return hashlib.sha256(f"library {head} {json.dumps(files.model, allow_nan=False)}".encode()).hexdigest()


def write_library_files(folder: Path, files: LibraryFiles, *, has_segments: bool, model_max_length: int) -> None:
    """Writes tokenizer.json and tokenizer_config.json.

    `tokenizer_class` is the generic fast class on purpose: transformers 5 rebuilds the classes of families from a few
    settings and the vocabulary, while the generic one keeps tokenizer.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / TOKENIZER_FILE, as_bytes_of(files))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": files.splits_special,
        "model_input_names": ["input_ids", *(["token_type_ids"] if has_segments else []), "attention_mask"],
        "model_max_length": model_max_length,
        **files.roles,
    }
    write_bytes(folder / CONFIG_FILE, (json.dumps(config, indent=2, allow_nan=False) + "\n").encode())


def as_bytes_of(files: LibraryFiles) -> bytes:
    """Returns the tokenizer.json of a tokenizer."""
    return json.dumps(files.values, ensure_ascii=False, allow_nan=False).encode()


def _checked_kind(path: Path, model: Mapping[str, Any]) -> str:
    """Returns the algorithm of a model; early files tell it only by the settings that each has."""
    kind = model.get("type")
    if kind is None:
        signs = {"merges": "BPE", "unk_id": "Unigram", "max_input_chars_per_word": "WordPiece"}
        kind = next((name for sign, name in signs.items() if sign in model), None)
    if kind not in _MODELS:
        raise CheckpointError(
            f"{path}: the model is {str(kind or 'of no declared type')[:60]}, expected {', '.join(_MODELS)}",
            hint="take a model with one of these tokenizers",
        )
    if model.get("dropout"):
        raise CheckpointError(
            f"{path}: dropout is {str(model['dropout'])[:20]}, so that a text has other ids each time",
            hint='set it to null in this file: "dropout": null',
        )
    return str(kind)


def _ids_of(path: Path, model: Mapping[str, Any]) -> dict[str, int]:
    """Returns the id of each piece of the model, with added tokens left out."""
    vocab = model.get("vocab")
    if not isinstance(vocab, list if model["type"] == "Unigram" else dict) or not vocab:
        raise CheckpointError(f"{path}: the vocabulary is empty")
    if len(vocab) > MAX_PIECES:
        raise CheckpointError(f"{path}: {len(vocab):,} pieces, more than any vocabulary has")
    if isinstance(vocab, list):
        for number, entry in enumerate(vocab):
            is_piece = isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)
            if not is_piece or isinstance(entry[1], bool) or not isinstance(entry[1], int | float):
                raise CheckpointError(f"{path}: the entry {number} of the vocabulary is no piece with its score")
        return {piece: number for number, (piece, _) in enumerate(vocab)}
    numbers = vocab.values()
    if not all(type(number) is int and 0 <= number < MAX_PIECES for number in numbers):
        raise CheckpointError(f"{path}: an id of the vocabulary is no whole number from 0 to {MAX_PIECES - 1:,}")
    if len(set(numbers)) != len(vocab):
        raise CheckpointError(f"{path}: two pieces of the vocabulary have the same id")
    if model["type"] == "BPE":
        _check_merges(path, model)
    return dict(vocab)


def _check_merges(path: Path, model: Mapping[str, Any]) -> None:
    """Refuses merges that are not of the vocabulary: on some of them the library ends the whole process."""
    vocab, merges = model["vocab"], model.get("merges")
    prefix = model.get("continuing_subword_prefix") or ""
    if not isinstance(merges, list) or not isinstance(prefix, str):
        raise CheckpointError(f"{path}: the merges are malformed")
    for number, merge in enumerate(merges):
        if isinstance(merge, str) and merge.startswith("#version"):
            continue
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
            raise CheckpointError(f"{path}: the merge {number} is not of two pieces")
        first, second = parts
        pieces = (first, second, first + second.removeprefix(prefix))
        if unknown := next((piece for piece in pieces if piece not in vocab), None):
            raise CheckpointError(
                f"{path}: the merge {number}, of {first!r:.60} and {second!r:.60}: {unknown!r:.60} is not in the "
                "vocabulary",
                hint=_TOGETHER,
            )
        if not second.startswith(prefix):
            raise CheckpointError(f"{path}: the merge {number}: {second!r:.60} does not begin with {prefix!r:.60}")


def _with_added(path: Path, listed: object, ids: Mapping[str, int], settings: TokenizerSettings) -> list[AddedToken]:
    """Gathers the tokens that any of the files adds, in the order of their ids.

    As in transformers, tokenizer_config.json decides how a token of tokenizer.json is looked for.
    """
    config_path = settings.folder / CONFIG_FILE
    decoder = settings.config.get("added_tokens_decoder") or {}
    if not isinstance(listed, list | None) or not isinstance(decoder, Mapping):
        raise CheckpointError(f"{path if isinstance(decoder, Mapping) else config_path}: added tokens are malformed")
    entries = ((token.get("id") if isinstance(token, dict) else None, token) for token in listed or ())
    roles = [name for role in _ROLES if (name := settings.role(role)) is not None]
    more = [
        name
        for source in (settings.config, settings.special_map)
        for key in _MORE_SPECIAL
        for name in names_of_special(source.get(key))
    ]
    ids_path = settings.folder / ADDED_TOKENS_FILE
    found: dict[str, AddedToken] = {}
    for where, tokens in (
        (ids_path, tokens_of_ids(ids_path, settings.ids, special={*roles, *more})),
        (path, tokens_of_entries(path, entries)),
        (config_path, tokens_of_entries(config_path, decoder.items())),
    ):
        for token in tokens:
            number = ids.get(token.content, found.get(token.content, token).id)
            if number != token.id:
                raise CheckpointError(
                    f"{where}: the added token {token.content!r:.60} has the id {token.id}, elsewhere {number}",
                    hint=_TOGETHER,
                )
            found[token.content] = token
    for name in dict.fromkeys((*roles, *more)):
        if name in found:
            continue
        if name in ids:
            flags = {"normalized": False} | settings.flags_of(name) | {"special": True}
            found[name] = AddedToken(name, ids[name], **flags)
        elif name not in roles:
            raise CheckpointError(
                f"{config_path}: the special token {name!r:.60} has no id: it is no piece of the vocabulary, and no "
                "file adds it",
                hint=_TOGETHER,
            )
    return sorted(found.values(), key=lambda token: token.id)


def _flags(token: AddedToken) -> dict[str, bool]:
    return {name: getattr(token, name) for name in _FLAGS}


def _check_prefix_space(path: Path, values: Mapping[str, Any], settings: TokenizerSettings) -> None:
    """Refuses a tokenizer.json and a tokenizer_config.json that disagree on the space before a text."""
    declared = settings.config.get("add_prefix_space")
    step = values.get("pre_tokenizer")
    said = step.get("add_prefix_space") if isinstance(step, Mapping) and step.get("type") == "ByteLevel" else None
    if isinstance(declared, bool) and isinstance(said, bool) and said != declared:
        raise CheckpointError(
            f"{settings.folder / CONFIG_FILE} says add_prefix_space={str(declared).lower()}, the pre-tokenizer of "
            f"{path} says the opposite",
            hint="set both to what the model was trained with",
        )
