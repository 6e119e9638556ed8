"""Folders with small tokenizers of other kinds than BERT's, trained again, as the files of real models are."""

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from bertune.system.protobuf_wire import delimited, varint

FAIRSEQ = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
CORPUS = [
    "the good film was good and the bad film was bad",
    "we went home, 12,500 times; it's café naïve ÉTÉ",
    "東京 日本語 привет мир ΑΣ straße don't stop",
    "good  bad   good\tfilm\nnew line",
] * 5
TEXTS = [
    *CORPUS[:4],
    "",
    " ",
    "  leading and trailing  ",
    "</s> a <mask> b <pad><s>",
    "\uff21 ① \u00a0 \u3000x\u200by \u0301 e\u0301",
    "\U0001f600 unknown \ue000 \x00 z",
    "[CLS] a [SEP] b [MASK]",
    "good" * 50,
]
#: A normalization table of one entry: the full-width A becomes A.
KEY, REPLACEMENT = "\uff21".encode(), b"A"


def write(folder: Path, name: str, values: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(values, ensure_ascii=False), "utf-8")


def byte_level() -> Tokenizer:
    """RoBERTa's: byte-level BPE."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=FAIRSEQ, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def modern() -> Tokenizer:
    """ModernBERT's: byte-level BPE, NFC, BERT's special tokens behind the pieces, runs of spaces as added tokens."""
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    )
    made.add_tokens([AddedToken(" " * count, normalized=False) for count in (4, 3, 2)])
    made.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]", AddedToken("[MASK]", lstrip=True, special=True)])
    made.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, made.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    made.decoder = decoders.ByteLevel()
    return made


def unigram() -> Tokenizer:
    """XLM-R's: Unigram over words that begin with a sign for the space before them."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    trainer = trainers.UnigramTrainer(vocab_size=150, special_tokens=FAIRSEQ, unk_token="<unk>", show_progress=False)
    made.train_from_iterator(CORPUS, trainer)
    made.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    made.decoder = decoders.Metaspace()
    return made


def mpnet() -> Tokenizer:
    """MPNet's: WordPiece with RoBERTa's template."""
    words = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>", "the", "good", "bad", "##s", "film", ",", "a", "b"]
    made = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(["<s>", "<pad>", "</s>", "[UNK]", AddedToken("<mask>", lstrip=True, special=True)])
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    made.decoder = decoders.WordPiece()
    return made


def whole_text() -> Tokenizer:
    """Gemma's, as mmBERT has it: BPE over whole texts, in which a sign stands for each space."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "\u2581")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256))]
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False))
    made.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<bos> $A <eos>",
                pair="<bos> $A <eos> $B <eos>",
                special_tokens=[("<bos>", 2), ("<eos>", 1)],
            ),
        ]
    )
    return made


KINDS = {"byte-level": byte_level, "modern": modern, "unigram": unigram, "mpnet": mpnet, "whole-text": whole_text}
ROLES = {
    "modern": {"pad_token": "[PAD]", "model_input_names": ["input_ids", "attention_mask"]},
    "mpnet": {"pad_token": "<pad>", "tokenizer_class": "MPNetTokenizer"},
}


def save(made: Tokenizer, folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    if config:
        write(folder, "tokenizer_config.json", config)
    return folder


def table(replacement: bytes = REPLACEMENT, *, value: int = 0) -> bytes:
    """Writes a normalization table of SentencePiece with one entry, `KEY`."""
    units, node = [0] * 2048, 256
    units[0] = node << 10
    for number, byte in enumerate(KEY):
        place, behind = node ^ byte, 256 * (number + 2)
        is_last = number == len(KEY) - 1
        units[place] = ((place ^ behind) << 10) | (is_last << 8) | byte
        node = behind
    units[node] = (1 << 31) | value
    array = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(array)) + array + replacement + b"\0"


def sentencepiece(
    pieces: Iterable[tuple[str, float, int]],
    *,
    charsmap: bytes = b"",
    normalizer: Mapping[int, int] | None = None,
    trainer: Mapping[int, int] | None = None,
) -> bytes:
    """Writes a model of SentencePiece.

    Args:
        pieces: text, score and kind of each.
        charsmap: its normalization table.
        normalizer: further fields of `NormalizerSpec`.
        trainer: fields of `TrainerSpec`.
    """
    content = b""
    for text, score, kind in pieces:
        inner = delimited(1, text.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score)
        content += delimited(1, inner + (varint(3 << 3) + varint(kind) if kind != 1 else b""))
    content += delimited(2, _numbers({3: 1} | dict(trainer or {})))
    return content + delimited(3, (delimited(2, charsmap) if charsmap else b"") + _numbers(normalizer or {}))


def _numbers(fields: Mapping[int, int]) -> bytes:
    return b"".join(varint(number << 3) + varint(value) for number, value in fields.items())


def trained_pieces() -> list[tuple[str, float, int]]:
    """Pieces of a Unigram model, with those of SentencePiece before them: `<unk> <s> </s>`."""
    vocab = json.loads(unigram().to_str())["model"]["vocab"][len(FAIRSEQ) :]
    return [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), *((text, score, 1) for text, score in vocab)]


def bert_pieces() -> list[tuple[str, float, int]]:
    """The same with DeBERTa's special pieces."""
    special = [("[PAD]", 0.0, 3), ("[CLS]", 0.0, 3), ("[SEP]", 0.0, 3), ("[UNK]", 0.0, 2)]
    return [*special, *trained_pieces()[3:]]
