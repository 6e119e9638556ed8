"""The sentences of the GLUE files as they stand there: no quoting, no unescaping."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

#: file: (columns of sentences, encoding)
SENTENCE_COLUMNS = {
    "MRPC/msr_paraphrase_train.txt": ((3, 4), "utf-8-sig"),
    "MRPC/msr_paraphrase_test.txt": ((3, 4), "utf-8-sig"),
    "SST-2/train.tsv": ((0,), "utf-8"),
    "SST-2/dev.tsv": ((0,), "utf-8"),
    "SST-2/test.tsv": ((1,), "utf-8"),
    "STS-B/train.tsv": ((7, 8), "utf-8"),
    "STS-B/dev.tsv": ((7, 8), "utf-8"),
    "STS-B/test.tsv": ((7, 8), "utf-8"),
}


def sentences(folder: Path, name: str) -> list[str]:
    columns, encoding = SENTENCE_COLUMNS[name]
    lines = (folder / name).read_bytes().decode(encoding).split("\n")
    rows = [line.rstrip("\r").split("\t") for line in lines[1:] if line]
    return [row[column] for row in rows for column in columns]


def digest_of_ids(ids: Iterable[Sequence[int]]) -> str:
    """SHA-256 over the number of ids and the ids of each text, 4 bytes each, little-endian."""
    digest = hashlib.sha256()
    for row in ids:
        digest.update(b"".join(number.to_bytes(4, "little") for number in (len(row), *row)))
    return digest.hexdigest()
