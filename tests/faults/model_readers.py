"""Readers of models: weights, configurations, tokenizers, archives, and the folders of fine-tuned models."""

import hashlib
import io
import json
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save
from tests.end_to_end.world import BAD, GOOD, OTHER, SPECIAL, write_encoder
from tests.faults.mutations import of_bytes, of_json, of_text
from tests.faults.readers import Reader
from tests.golden.tf_checkpoints_folder import unpack as unpack_golden
from tests.unit.tokenization import trained
from tests.unit.tokenization.test_family_files import byte_level, spm
from tests.unit.tokenization.trained import TEXTS, bert_pieces, sentencepiece, trained_pieces

from bertune.checkpoints.bundle_writer import table
from bertune.checkpoints.model_folder import load
from bertune.checkpoints.restore import restore
from bertune.checkpoints.safetensors_file import TensorFiles
from bertune.checkpoints.table_file import read_table
from bertune.cli.inspect_model import inspect_model
from bertune.fetch.archive import unpack
from bertune.models.encoder import Encoder
from bertune.models.registry import read_config
from bertune.tokenization.read_tokenizer import read_tokenizer

TENSORS = {
    "embeddings.weight": torch.arange(24, dtype=torch.float32).reshape(6, 4),
    "dense.weight": torch.ones(4, 4, dtype=torch.float16),
    "dense.bias": torch.zeros(4),
}
BYTES_AND_TEXT = (of_bytes, of_text)


def read_weights(folder: Path) -> None:
    """Reads every tensor as restoring does."""
    files = TensorFiles([next(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin"))])
    for name in files.tensors:
        files.read(name)


def _safetensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(save(TENSORS, metadata={"format": "pt"}))


def _in_header(content: bytes, draw: random.Random) -> bytes:
    """Damages the header; its length fits."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = draw.choice((*BYTES_AND_TEXT, of_json))(content[8:end], draw)
    return len(header).to_bytes(8, "little") + header + content[end:]


def _torch_zip(folder: Path) -> None:
    torch.save(TENSORS, folder / "pytorch_model.bin")


def _torch_legacy(folder: Path) -> None:
    torch.save(TENSORS, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def _in_pickle(content: bytes, draw: random.Random) -> bytes:
    """Damages the pickle in the archive; the archive's checksums fit."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as packed, zipfile.ZipFile(written, "w") as other:
        for name in packed.namelist():
            inner = packed.read(name)
            other.writestr(name, of_bytes(inner, draw) if name.endswith("data.pkl") else inner)
    return written.getvalue()


def _in_opcodes(content: bytes, draw: random.Random) -> bytes:
    """Puts other opcodes into the pickles of the older layout."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        changed[draw.randrange(min(len(changed), 600))] = draw.choice(
            b"(.0123KJMNTRUX]ael}hqtcbsu\x80\x85\x86\x87\x8a\x93\x94"
        )
    return bytes(changed)


def _bundle(folder: Path) -> None:
    shutil.copytree(unpack_golden("functional", folder / "golden"), folder, dirs_exist_ok=True)
    shutil.rmtree(folder / "golden")
    index = next(folder.rglob("*.index"))
    for path in [*index.parent.glob(f"{index.stem}.*")]:
        path.rename(path.with_name(path.name.replace(index.stem, "x")))
    found = next(folder.rglob("x.index")).parent
    if found != folder:
        for path in found.iterdir():
            path.rename(folder / path.name)


def _read_bundle(folder: Path) -> None:
    config = read_config(folder / "bert_config.json")
    restore(Encoder.from_config(config), folder / "x").assert_consumed()


def _in_index(content: bytes, draw: random.Random) -> bytes:
    """Damages an entry of the index; the checksums of its blocks fit."""
    with_name = Path(_scratch()) / "x.index"
    with_name.write_bytes(content)
    entries = read_table(with_name)
    for _ in range(draw.randint(1, 2)):
        key = draw.choice(list(entries))
        value = entries.pop(key)
        if draw.random() < 0.2:
            key = draw.choice((b"", key + b"x", key[:-1], b"\xff" * 9, draw.choice(list(entries))))
        entries[key] = of_bytes(value.ljust(17, b"\0"), draw) if draw.random() < 0.8 else value * 3
    return table(entries)


_scratches: list[str] = []


def _scratch() -> str:
    import tempfile

    if not _scratches:
        _scratches.append(tempfile.mkdtemp(prefix="bertune-faults-"))
    return _scratches[0]


def _encoder(folder: Path) -> None:
    write_encoder(folder, [*SPECIAL, *GOOD, *BAD, *OTHER])


def _read_encoder(folder: Path) -> None:
    inspect_model(str(folder), quiet=True)


def _read_words(folder: Path) -> None:
    tokenizer = read_tokenizer(folder)
    tokenizer.encode_flat(TEXTS)
    tokenizer.align(TEXTS[0])


def _tokenizer_json(folder: Path) -> None:
    trained.save(trained.KINDS["unigram"](), folder, **trained.ROLES.get("unigram", {}))


def _spm(folder: Path) -> None:
    spm(folder, sentencepiece(trained_pieces(), charsmap=trained.table()))


def _deberta(folder: Path) -> None:
    spm(folder, sentencepiece(bert_pieces()), model_type="deberta-v2", name="spm.model")


def _archive(kind: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        _encoder(folder / "inner")
        path = folder / "a.archive"
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) if kind == "zip" else tarfile.open(path, "w:gz") as packed
        ):
            for file in sorted((folder / "inner").iterdir()):
                (packed.write if isinstance(packed, zipfile.ZipFile) else packed.add)(file, f"model/{file.name}")
        shutil.rmtree(folder / "inner")

    return make


def _unpack(folder: Path) -> None:
    shutil.rmtree(folder / "unpacked", ignore_errors=True)
    try:
        unpack(folder / "a.archive", folder / "unpacked", shown=str(folder))
    finally:
        shutil.rmtree(folder / "unpacked", ignore_errors=True)


def mend_digests(folder: Path) -> None:
    """Lets the list of digests fit the files of a model folder."""
    listed = folder / "SHA256SUMS"
    names = [line.split("  ", 1)[1] for line in listed.read_text().splitlines()]
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    listed.write_text("".join(lines))


def _model(folder: Path) -> None:
    from tests.faults.run_readers import a_run

    shutil.copytree(a_run() / "model", folder, dirs_exist_ok=True)


def _safetensors_index(folder: Path) -> None:
    (folder / "a.safetensors").write_bytes(save({"a": torch.zeros(2)}))
    (folder / "b.safetensors").write_bytes(save({"b": torch.zeros(2)}))
    values = {"metadata": {"total_size": 16}, "weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(values))


def _read_index(folder: Path) -> None:
    from bertune.checkpoints.weight_files import find_tensor_files

    files = TensorFiles(find_tensor_files(folder))
    for name in files.tensors:
        files.read(name)


_OF_MODEL = {
    "bertune.json": (*BYTES_AND_TEXT, of_json),
    "config.json": (*BYTES_AND_TEXT, of_json),
    "tokenizer.json": (*BYTES_AND_TEXT, of_json),
    "tokenizer_config.json": (*BYTES_AND_TEXT, of_json),
    "vocab.txt": BYTES_AND_TEXT,
    "model.safetensors": (of_bytes, _in_header),
}
_ALL = [
    Reader("TensorBundle", _bundle, {"x.index": (of_bytes,), "x.data-00000-of-00001": (of_bytes,)}, _read_bundle),
    Reader("TensorBundle, checksums mended", _bundle, {"x.index": (_in_index,)}, _read_bundle),
    Reader("safetensors", _safetensors, {"model.safetensors": (of_bytes, _in_header, _in_header)}, read_weights),
    Reader("torch, zip", _torch_zip, {"pytorch_model.bin": (of_bytes,)}, read_weights),
    Reader("torch, pickle in the zip", _torch_zip, {"pytorch_model.bin": (_in_pickle,)}, read_weights),
    Reader("torch, older layout", _torch_legacy, {"pytorch_model.bin": (of_bytes, _in_opcodes)}, read_weights),
    Reader(
        "shards' index", _safetensors_index, {"model.safetensors.index.json": (*BYTES_AND_TEXT, of_json)}, _read_index
    ),
    Reader("spm.model", _deberta, {"spm.model": (of_bytes,)}, _read_words),
    Reader("sentencepiece.bpe.model", _spm, {"sentencepiece.bpe.model": (of_bytes,)}, _read_words),
    Reader("tokenizer.json", _tokenizer_json, {"tokenizer.json": (*BYTES_AND_TEXT, of_json, of_json)}, _read_words),
    Reader(
        "vocab.json and merges.txt",
        lambda folder: byte_level(folder, add_prefix_space=True),
        {
            "vocab.json": (*BYTES_AND_TEXT, of_json),
            "merges.txt": BYTES_AND_TEXT,
            "config.json": (*BYTES_AND_TEXT, of_json),
            "tokenizer_config.json": (*BYTES_AND_TEXT, of_json),
        },
        _read_words,
    ),
    Reader("vocab.txt", _encoder, {"vocab.txt": BYTES_AND_TEXT}, _read_words),
    Reader(
        "config.json, of a pretrained encoder",
        _encoder,
        {"config.json": (*BYTES_AND_TEXT, of_json, of_json), "tokenizer_config.json": (*BYTES_AND_TEXT, of_json)},
        _read_encoder,
    ),
    Reader("fine-tuned model", _model, {**_OF_MODEL, "SHA256SUMS": BYTES_AND_TEXT}, load),
    Reader("fine-tuned model, digests mended", _model, _OF_MODEL, load, mend=mend_digests, mended=("SHA256SUMS",)),
    Reader("zip archive", _archive("zip"), {"a.archive": (of_bytes,)}, _unpack),
    Reader("tar.gz archive", _archive("tar"), {"a.archive": (of_bytes,)}, _unpack),
]

_FORMATS = {
    "TensorBundle": ("TensorBundle", "TensorBundle, checksums mended"),
    "safetensors": ("safetensors", "shards' index"),
    "torch": ("torch, zip", "torch, pickle in the zip", "torch, older layout"),
    "SentencePiece": ("spm.model", "sentencepiece.bpe.model"),
    "tokenizer.json": ("tokenizer.json",),
    "vocab.json and merges.txt": ("vocab.json and merges.txt",),
    "vocab.txt": ("vocab.txt",),
    "config.json": ("config.json, of a pretrained encoder",),
    "fine-tuned model": ("fine-tuned model", "fine-tuned model, digests mended"),
    "archives": ("zip archive", "tar.gz archive"),
}
READERS = {name: [reader for reader in _ALL if reader.name in readers] for name, readers in _FORMATS.items()}
