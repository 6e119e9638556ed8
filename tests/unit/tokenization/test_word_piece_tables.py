"""The tokenizer as arrays: read as a graph reads them, one character at a time, they give its ids."""

import base64
import gzip
import json
import runpy
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.tokenization.trained import byte_level, save

from bertune.errors import ConfigError
from bertune.tokenization.added_tokens import AddedToken
from bertune.tokenization.read_tokenizer import read_tokenizer
from bertune.tokenization.tokenizer import BertTokenizer
from bertune.tokenization.word_piece_tables import (
    ALONE,
    BLOCK,
    CASED,
    COMBINING_SHIFT,
    MARK,
    NODE_SHIFT,
    PASSED_OVER,
    SPACE,
    WordPieceTables,
    tables_of,
    word_piece_of,
)

GOLDEN_FOLDER = Path(__file__).parents[2] / "golden"
GOLDEN = json.loads(gzip.decompress((GOLDEN_FOLDER / "tokenizer.json.gz").read_bytes()))
HOSTILE = runpy.run_path(str(GOLDEN_FOLDER / "hostile_strings.py"))


class Reader:
    """Reads the arrays."""

    def __init__(self, tables: WordPieceTables, unknown: int) -> None:
        self._tables = tables
        self._unknown = unknown
        self._node_of = {int(key): place for place, key in enumerate(tables.transitions)}

    def ids(self, text: str) -> list[int]:
        codes = self._without_marks(self._changed(self._with_final_sigmas([ord(char) for char in text])))
        words: list[list[int]] = [[]]
        for code in codes:
            kind = self._class(code)
            if kind & (SPACE | ALONE):
                words += [[code], []] if kind & ALONE else [[]]
            else:
                words[-1].append(code)
        return [number for word in words if word for number in self._spelled(word)]

    def _value(self, table: str, code: int) -> int:
        blocks, values = (getattr(self._tables, f"{table}_{part}") for part in ("blocks", "values"))
        return int(values[blocks[code // BLOCK] * BLOCK + code % BLOCK])

    def _class(self, code: int) -> int:
        return self._value("class", code)

    def _with_final_sigmas(self, codes: list[int]) -> list[int]:
        seen = [place for place, code in enumerate(codes) if not self._class(code) & PASSED_OVER]
        cased = [bool(self._class(codes[place]) & CASED) for place in seen]
        finals = {
            place
            for number, place in enumerate(seen)
            if codes[place] == ord("Σ")
            and any(cased[max(0, number - 1) : number])
            and not any(cased[number + 1 : number + 2])
        }
        return [ord("ς") if place in finals else code for place, code in enumerate(codes)]

    def _changed(self, codes: list[int]) -> list[int]:
        found: list[int] = []
        for code in codes:
            number = self._value("change", code)
            first, last = self._tables.change_offsets[number - 1 : number + 1] if number else (0, 0)
            found += self._tables.replacements[first:last].tolist() if number else [code]
        return found

    def _without_marks(self, codes: list[int]) -> list[int]:
        runs = np.cumsum([self._class(code) >> COMBINING_SHIFT == 0 for code in codes])
        order = sorted(range(len(codes)), key=lambda place: (runs[place], self._class(codes[place]) >> COMBINING_SHIFT))
        return [codes[place] for place in order if not self._class(codes[place]) & MARK]

    def _spelled(self, word: list[int]) -> list[int]:
        found: list[int] = []
        place = 0
        while place < len(word):
            node, longest = int(place > 0), (0, -1)
            for length, code in enumerate(word[place:], start=1):
                reached = self._node_of.get(node << NODE_SHIFT | code)
                if reached is None:
                    break
                node = reached + 2
                if self._tables.piece_ids[reached] >= 0:
                    longest = (length, int(self._tables.piece_ids[reached]))
            if not longest[0] or len(word) > 400:
                return [self._unknown]
            place, found = place + longest[0], [*found, longest[1]]
        return found


def unpacked(text: str) -> list[list[int]]:
    content = base64.b64decode(text)
    flat = struct.unpack(f"<{len(content) // 2}H", content)
    rows, place = [], 0
    while place < len(flat):
        rows.append(list(flat[place + 1 : place + 1 + flat[place]]))
        place += 1 + flat[place]
    return rows


@pytest.mark.parametrize("name", ["small_lower", "small_cased"])
def test_the_arrays_alone_give_googles_ids(name: str, small_vocab: Path) -> None:
    run: dict[str, Any] = GOLDEN["runs"][name]
    tokenizer = BertTokenizer(small_vocab, do_lower_case=run["do_lower_case"])
    tables = tables_of(tokenizer)
    assert (np.diff(tables.transitions) > 0).all()
    unicode = [array.nbytes for name, array in vars(tables).items() if name not in ("transitions", "piece_ids")]
    assert sum(unicode) < 600_000, "they are constants of every graph"
    reader = Reader(tables, tokenizer.unk_id)
    texts, expected = list(HOSTILE["hostile_strings"]())[:4000], unpacked(run["hostile"])
    given = [*zip(texts, expected[:4000], strict=True), *zip(GOLDEN["texts"], run["ids"], strict=True)]
    # Half a surrogate pair cannot be in a string of another program.
    rows = [(text, ids) for text, ids in given if not any("\ud800" <= char <= "\udfff" for char in text)]
    assert len(rows) > 3000
    assert [text for text, ids in rows if reader.ids(text) != ids] == []


def test_other_tokenizers_and_added_tokens_are_refused(tmp_path: Path, small_vocab: Path) -> None:
    with pytest.raises(ConfigError, match=r"BERT's own WordPiece alone; this model's tokenizer is .*BPE"):
        word_piece_of(read_tokenizer(save(byte_level(), tmp_path / "bpe")))
    added = BertTokenizer(small_vocab)
    added._added = (AddedToken("covid", 1008),)
    with pytest.raises(ConfigError, match="has added tokens such as 'covid'") as error:
        word_piece_of(added)
    assert error.value.hint == "leave out --inputs text: the export then takes ids of tokens"
