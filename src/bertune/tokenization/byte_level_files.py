"""Byte-level BPE from vocab.json and merges.txt, put together as transformers' RobertaTokenizer does."""

from pathlib import Path
from typing import Any, Final

from bertune.errors import CheckpointError
from bertune.system.bounded_file import read_bounded
from bertune.system.git_pointer import refuse_pointer
from bertune.system.json_file import read_json_object
from bertune.tokenization.library_files import LibraryFiles, TokenizerSettings, with_settings
from bertune.tokenization.tokenizer_files import BPE_VOCABULARY_FILE, MERGES_FILE
from bertune.tokenization.vocabulary import MAX_PIECES, MAX_VOCABULARY_BYTES

#: Special tokens of each family by role, where the files beside the vocabulary do not say otherwise.
ROLES: Final = {
    "roberta": {
        "cls_token": "<s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "bos_token": "<s>",
        "eos_token": "</s>",
    },
    "deberta": {
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
        "bos_token": "[CLS]",
        "eos_token": "[SEP]",
    },
}
_RESTORE = "use the vocab.json and merges.txt of one model, unchanged"


def read_byte_level(settings: TokenizerSettings) -> LibraryFiles:
    """Reads vocab.json and merges.txt.

    Args:
        settings: of the files beside them; their family is one of `ROLES`.

    Raises:
        CheckpointError: a file is missing or broken, a merge is of unknown pieces, or a special token is missing.
    """
    path = settings.folder / BPE_VOCABULARY_FILE
    vocab = read_json_object(path, max_bytes=MAX_VOCABULARY_BYTES)
    merges = _read_merges(settings.folder / MERGES_FILE, vocab)
    defaults = ROLES[str(settings.family)]
    roles = {role: settings.role(role) or token for role, token in defaults.items()}
    cls, sep = roles["cls_token"], roles["sep_token"]
    known = {**vocab, **settings.ids}
    if missing := [token for token in (cls, sep) if token not in known]:
        raise CheckpointError(f"{path}: the vocabulary lacks {missing[0]!r:.60}", hint=_RESTORE)
    prefix, trim = (settings.flag(*each) for each in (("add_prefix_space", False), ("trim_offsets", True)))
    template: dict[str, Any] = {
        "type": "BertProcessing" if settings.family == "deberta" else "RobertaProcessing",
        "sep": [sep, known[sep]],
        "cls": [cls, known[cls]],
    }
    if settings.family == "roberta":
        template |= {"trim_offsets": trim, "add_prefix_space": prefix}
    byte_level = {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": True}
    values = {
        "added_tokens": [
            special_token(token, known[token], settings) for token in dict.fromkeys(roles.values()) if token in known
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": template,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": merges,
        },
    }
    return with_settings(path, values, settings, pad=roles["pad_token"])


def special_token(content: str, number: object, settings: TokenizerSettings) -> dict[str, Any]:
    """Returns the entry of a special token in `added_tokens` of a tokenizer.json."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": content, **flags, **settings.flags_of(content), "special": True}


def _read_merges(path: Path, vocab: dict[str, Any]) -> list[list[str]]:
    content = read_bounded(path, MAX_VOCABULARY_BYTES)
    refuse_pointer(path, content)
    try:
        # Some merges are of characters at which `splitlines` would part a line.
        lines = content.decode("utf-8").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: not UTF-8", hint=_RESTORE) from error
    if len(lines) > MAX_PIECES:
        raise CheckpointError(f"{path}: more than {MAX_PIECES:,} lines, more than any vocabulary has", hint=_RESTORE)
    merges = []
    for number, line in enumerate(lines, start=1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        parts = line.split(" ")
        if len(parts) != 2 or not all(parts):
            raise CheckpointError(f"{path}, line {number}: {line[:60]!r}, expected two pieces", hint=_RESTORE)
        if unknown := next((piece for piece in (*parts, "".join(parts)) if piece not in vocab), None):
            raise CheckpointError(
                f"{path}, line {number}: {unknown!r:.60} is not in {path.with_name(BPE_VOCABULARY_FILE)}",
                hint=_RESTORE,
            )
        merges.append(parts)
    if not merges:
        raise CheckpointError(f"{path}: no merges", hint=_RESTORE)
    return merges
