"""Models of SentencePiece as the tokenizers of their families, put together for the `tokenizers` library."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bertune.errors import CheckpointError
from bertune.tokenization.byte_level_files import special_token
from bertune.tokenization.library_files import LibraryFiles, TokenizerSettings, with_settings
from bertune.tokenization.sentencepiece_model import CONTROL, USER_DEFINED, SentencePieceModel, read_sentencepiece
from bertune.tokenization.tokenizer_steps import SPACES

_Step = dict[str, Any]
_Vocabulary = list[list[Any]]
_SPACE: Final = "\u2581"
_FAIRSEQ_ROLES: Final = {
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
    "bos_token": "<s>",
    "eos_token": "</s>",
}
_BERT_ROLES: Final = {
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "mask_token": "[MASK]",
    "bos_token": "[CLS]",
    "eos_token": "[SEP]",
}


@dataclass(frozen=True)
class _Source:
    """What a tokenizer is put together from.

    Args:
        model: of SentencePiece.
        settings: of the files beside it.
        roles: special tokens by role.
    """

    model: SentencePieceModel
    settings: TokenizerSettings
    roles: Mapping[str, str]


@dataclass(frozen=True)
class _Family:
    """How a family numbers the pieces and normalizes a text.

    Args:
        roles: special tokens where the files beside the model do not say otherwise.
        vocabulary: gives the pieces with their scores, in the order of their ids, and the number of the unknown one.
        normalizers: give what is done to a text before it is split.
        pre_tokenizers: give what splits it before `Metaspace`.
        is_pair_of_four: whether a pair is `<s> a </s></s> b </s>`; else it is written as BERT's.
    """

    roles: Mapping[str, str]
    vocabulary: Callable[[_Source], tuple[_Vocabulary, int]]
    normalizers: Callable[[_Source], list[_Step]]
    pre_tokenizers: Callable[[_Source], list[_Step]]
    is_pair_of_four: bool


def read_sentencepiece_files(path: Path, settings: TokenizerSettings) -> LibraryFiles:
    """Reads a model of SentencePiece as the tokenizer of its family.

    Args:
        path: the model.
        settings: of the files beside it; their family is one of `FAMILIES`.

    Raises:
        CheckpointError: a file is broken, or describes what is not supported.
    """
    family = FAMILIES[str(settings.family)]
    model = read_sentencepiece(path)
    roles = {role: settings.role(role) or token for role, token in family.roles.items()}
    source = _Source(model, settings, roles)
    vocab, unk_id = family.vocabulary(source)
    ids = {piece: number for number, (piece, _) in enumerate(vocab)} | dict(settings.ids)
    # DeBERTa's [MASK] is in no file but added_tokens.json, and follows the pieces.
    ids.setdefault(roles["mask_token"], len(ids))
    if missing := [roles[role] for role in ("cls_token", "sep_token") if roles[role] not in ids]:
        raise CheckpointError(
            f"{path}: there is no piece {missing[0]!r:.60}, as there is in the models of {settings.family}",
            hint="use the files of one model",
        )
    user = [piece.text for piece in model.pieces if piece.kind in (CONTROL, USER_DEFINED) and piece.text in ids]
    controls = {piece.text for piece in model.pieces if piece.kind == CONTROL}
    special = [token for token in dict.fromkeys((*roles.values(), *user)) if token in ids]
    added = [
        special_token(token, ids[token], settings) | {"special": token in controls or token in roles.values()}
        for token in special
    ]
    prefix = settings.flag("add_prefix_space", default=True) and model.add_dummy_prefix
    space = {
        "type": "Metaspace",
        "replacement": _SPACE,
        "prepend_scheme": "always" if prefix else "never",
        "split": True,
    }
    values = {
        "added_tokens": added,
        "normalizer": _sequence("normalizers", family.normalizers(source)),
        "pre_tokenizer": _sequence("pretokenizers", [*family.pre_tokenizers(source), space]),
        "post_processor": {
            "type": "RobertaProcessing" if family.is_pair_of_four else "BertProcessing",
            "sep": [roles["sep_token"], ids[roles["sep_token"]]],
            "cls": [roles["cls_token"], ids[roles["cls_token"]]],
            **({"trim_offsets": False, "add_prefix_space": False} if family.is_pair_of_four else {}),
        },
        "decoder": space,
        "model": {"type": "Unigram", "unk_id": unk_id, "vocab": vocab, "byte_fallback": model.byte_fallback},
    }
    return with_settings(path, values, settings, pad=roles["pad_token"])


def _sequence(name: str, steps: list[_Step]) -> _Step | None:
    return {"type": "Sequence", name: steps} if steps else None


def _scored(source: _Source) -> _Vocabulary:
    return [[piece.text, piece.score] for piece in source.model.pieces]


def _xlm_roberta_vocabulary(source: _Source) -> tuple[_Vocabulary, int]:
    """Puts fairseq's four ids before the pieces, which have three of their own: so each is one further on."""
    roles = source.roles
    own = [[roles[role], 0.0] for role in ("bos_token", "pad_token", "eos_token", "unk_token")]
    return [*own, *_scored(source)[3:], [roles["mask_token"], 0.0]], 3


def _camembert_vocabulary(source: _Source) -> tuple[_Vocabulary, int]:
    """Puts fairseq's four ids before the pieces, of which `<s>` and `</s>` are used and the unknown one is not."""
    roles = source.roles
    own = [["<s>NOTUSED", 0.0], [roles["pad_token"], 0.0], ["</s>NOTUSED", 0.0], [roles["unk_token"], 0.0]]
    return [*own, ["<unk>NOTUSED", -100.0], *_scored(source)[1:], [roles["mask_token"], 0.0]], 3


def _plain_vocabulary(source: _Source) -> tuple[_Vocabulary, int]:
    return _scored(source), source.model.unk_id


def _albert_vocabulary(source: _Source) -> tuple[_Vocabulary, int]:
    """Makes pieces such as `9,` unlikely: ALBERT's tokenizer sets a comma behind a digit apart."""
    scored = [
        [piece, score - 100 if len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit() else score]
        for piece, score in _scored(source)
    ]
    return scored, source.model.unk_id


def _table(source: _Source) -> list[_Step]:
    table = source.model.charsmap
    return [{"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode()}] if table else []


def _collapsed(source: _Source) -> list[_Step]:
    """Writes several spaces as one and those at the ends as none, as SentencePiece does after its table."""
    steps = [_replaced({"Regex": pattern}, content) for pattern, content in SPACES.items()]
    return steps if source.model.remove_extra_whitespaces else []


def _replaced(pattern: Mapping[str, str], content: str) -> _Step:
    return {"type": "Replace", "pattern": pattern, "content": content}


def _deberta_normalizers(source: _Source) -> list[_Step]:
    lower = [{"type": "Lowercase"}] if source.settings.flag("do_lower_case", default=False) else []
    return [*lower, *_table(source), *_collapsed(source)]


def _albert_normalizers(source: _Source) -> list[_Step]:
    steps = [_replaced({"String": quotes}, '"') for quotes in ("``", "''")]
    if not source.settings.flag("keep_accents", default=False):
        steps += [{"type": "NFKD"}, {"type": "StripAccents"}]
    if source.settings.flag("do_lower_case", default=True):
        steps += [{"type": "Lowercase"}]
    return [*steps, *_table(source)]


def _words(source: _Source) -> list[_Step]:
    return [{"type": "WhitespaceSplit"}] if source.model.remove_extra_whitespaces else []


def _punctuation(source: _Source) -> list[_Step]:
    is_split = source.settings.flag("split_by_punct", default=False)
    return [{"type": "Punctuation", "behavior": "Isolated"}] if is_split else []


#: By the names of `model_type`.
FAMILIES: Final = {
    "xlm-roberta": _Family(_FAIRSEQ_ROLES, _xlm_roberta_vocabulary, _table, _words, is_pair_of_four=True),
    "camembert": _Family(_FAIRSEQ_ROLES, _camembert_vocabulary, _table, _words, is_pair_of_four=True),
    "deberta-v2": _Family(_BERT_ROLES, _plain_vocabulary, _deberta_normalizers, _punctuation, is_pair_of_four=False),
    "albert": _Family(_BERT_ROLES, _albert_vocabulary, _albert_normalizers, _words, is_pair_of_four=False),
}
