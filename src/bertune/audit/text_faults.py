"""Texts that look wrong by themselves: lost or invisible characters, markup, swallowed rows, columns of no texts."""

import re
from collections.abc import Callable, Iterator, Sequence

from bertune.audit.findings import Finding
from bertune.audit.sightings import Sightings
from bertune.data.formats.delimited import DELIMITERS, delimiter_flag, delimiter_name
from bertune.wording.counts import counted, share_of
from bertune.wording.nearest import shorten

Where = Callable[[int], str]
"""Names file and line of a row."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff]")
# Beginnings of two- and three-byte characters of UTF-8 as Latin-1 and Windows-1252 show them, with what may follow.
_MOJIBAKE = re.compile("Ã[\x80-\xbf\u0152-\u0192\u2018-\u2122]|Â[\xa0-\xbf]|â€[\x80-\xbf\u0152-\u2122]|ï»¿|ðŸ")
_MARKUP = re.compile(
    r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{1,7}|#x[0-9a-fA-F]{1,6});"
    r"|</?(?:p|br|div|span|a|b|i|u|em|strong|ul|ol|li|table|tr|td|th|h[1-6]|img|script|style|font)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_IDENTIFIER = re.compile(r"[\w.:#/-]*\d[\w.:#/-]*")

_MOST = 0.95
"""Share of the rows from which on something is said of a whole column."""
_LEAST_ROWS = 10
_LONGEST_IDENTIFIER = 40
_LABELS_SOUGHT = 1000

_MESSAGES = {
    "control_characters": "with control characters, such as {sample}",
    "replacement_characters": "with U+FFFD, so characters were lost before, such as '{sample}'",
    "mojibake": "with UTF-8 read in another encoding, such as '{sample}'",
    "markup": "with HTML in their texts, such as '{sample}'",
    "swallowed_lines": "with texts that hold rows of the table, such as '{sample}': is a quote not closed?",
}


class TextFaults:
    """Looks at the texts of one split, a chunk at a time, and keeps counts alone.

    Args:
        columns: how many text columns there are.
        one_column: whether the table may have no other column, so that a comma may part what should be columns.
    """

    def __init__(self, columns: int, *, one_column: bool) -> None:
        self._seen = {code: Sightings() for code in _MESSAGES}
        self._rows = 0
        delimiters = [delimiter for delimiter in DELIMITERS if one_column or delimiter != ","]
        self._columns = [_ColumnWatch(delimiters) for _ in range(columns)]

    def add(self, texts: Sequence[Sequence[str]], labels: Sequence[str], first_row: int) -> None:
        """Looks at a chunk.

        Args:
            texts: of each column, as many in each.
            labels: the known label words.
            first_row: number of its first row.
        """
        self._rows += len(texts[0])
        for column, watch in zip(texts, self._columns, strict=True):
            watch.add(column)
        # Most chunks are clean, and the whole of one is searched much sooner than each of its texts.
        together = " ".join(" ".join(column) for column in texts)
        searches = self._searches(together, labels)
        if not searches:
            return
        for row, cells in enumerate(zip(*texts, strict=True), start=first_row):
            for code, search in searches.items():
                found = next(filter(None, map(search, cells)), None)
                if found is not None:
                    self._seen[code].add(row, found)

    def _searches(self, together: str, labels: Sequence[str]) -> dict[str, Callable[[str], str | None]]:
        searches: dict[str, Callable[[str], str | None]] = {}
        if not together.isprintable() and _CONTROL.search(together):
            searches["control_characters"] = _control_in
        if not together.isascii():
            if _REPLACEMENT in together:
                searches["replacement_characters"] = _replacement_in
            if _MOJIBAKE.search(together):
                searches["mojibake"] = _mojibake_in
        if ("&" in together or "<" in together) and _MARKUP.search(together):
            searches["markup"] = _markup_in
        if "\n" in together:
            rows = _pattern_of_rows(labels)
            searches["swallowed_lines"] = lambda text: _swallowed_in(text, rows)
        return searches

    def findings(self, name: str, where: Where) -> Iterator[Finding]:
        """Tells of what was seen.

        Args:
            name: of the split.
            where: names the place of a row.
        """
        for code, seen in self._seen.items():
            if seen.count:
                rest = _MESSAGES[code].format(sample=seen.sample)
                message = f"{name}: {counted(seen.count, 'row')} {rest}"
                yield Finding(code, message, seen.count, tuple(map(where, seen.rows)))
        if self._rows < _LEAST_ROWS:
            return
        for number, watch in enumerate(self._columns):
            which = "texts" if len(self._columns) == 1 else ("first texts", "second texts")[number]
            for code, what, rows in watch.faults(self._rows):
                message = f"{name}: the {which} of {share_of(rows, self._rows)} {what}"
                yield Finding(code, message, rows, (where(0),))


class _ColumnWatch:
    """Suspicions about a whole column; each is given up as soon as too many rows speak against it."""

    def __init__(self, delimiters: Sequence[str]) -> None:
        self._delimited: dict[str, int] = dict.fromkeys(delimiters, 0)
        self._cells: dict[str, int] = {}
        self._identifiers: int | None = 0
        self._first: str | None = None
        self._constant = True
        self._rows = 0

    def add(self, texts: Sequence[str]) -> None:
        if not texts:
            return
        self._rows += len(texts)
        if self._first is None:
            self._first = texts[0]
        self._constant = self._constant and all(text == self._first for text in texts)
        if self._identifiers is not None:
            self._identifiers += sum(map(_is_identifier, texts))
            if self._identifiers < _MOST * self._rows:
                self._identifiers = None
        for delimiter in list(self._delimited):
            expected = self._cells.setdefault(delimiter, texts[0].count(delimiter))
            if expected:
                self._delimited[delimiter] += sum(text.count(delimiter) == expected for text in texts)
            if self._delimited[delimiter] < _MOST * self._rows:
                del self._delimited[delimiter]

    def faults(self, rows: int) -> Iterator[tuple[str, str, int]]:
        if self._constant and self._first is not None:
            yield "constant_text", f"are all the same: '{shorten(self._first)}'", rows
            return
        if self._identifiers is not None:
            yield (
                "ids_as_text",
                "are numbers or identifiers, such as '" + shorten(self._first or "") + "'",
                self._identifiers,
            )
        for delimiter, count in self._delimited.items():
            times, name = self._cells[delimiter], delimiter_name(delimiter)
            hold = (
                f"hold {name} as often as the first, {counted(times, 'time')}; if that stands between cells: "
                f"{delimiter_flag(delimiter)}"
            )
            yield "wrong_delimiter", hold, count


def _is_identifier(text: str) -> bool:
    return len(text) <= _LONGEST_IDENTIFIER and _IDENTIFIER.fullmatch(text) is not None


def _control_in(text: str) -> str | None:
    found = _CONTROL.search(text)
    return None if found is None else f"U+{ord(found.group()):04X}"


def _replacement_in(text: str) -> str | None:
    place = text.find(_REPLACEMENT)
    return None if place < 0 else shorten(text[max(place - 10, 0) : place + 10])


def _mojibake_in(text: str) -> str | None:
    found = _MOJIBAKE.search(text)
    return None if found is None else shorten(text[max(found.start() - 10, 0) : found.end() + 5])


def _markup_in(text: str) -> str | None:
    found = _MARKUP.search(text)
    return None if found is None else shorten(found.group(), 30)


def _pattern_of_rows(labels: Sequence[str]) -> re.Pattern[str]:
    """Matches a line that begins or ends with a cell that holds a label, or that has quoted cells.

    A comma beside a digit or a space is punctuation: "10,000", "1, then".
    """
    words = "|".join(re.escape(label) for label in labels[:_LABELS_SOUGHT] if label) or r"(?!)"
    label = rf'"?(?:{words})"?'
    return re.compile(rf'(?:^{label}[,;\t|](?=[^\s\d])|(?<!\d)[,;\t|]{label}\r?$|"[,;\t|]")', re.MULTILINE)


def _swallowed_in(text: str, rows: re.Pattern[str]) -> str | None:
    if "\n" not in text:
        return None
    found = rows.search(text)
    return None if found is None else shorten(text[max(found.start() - 20, 0) : found.end() + 20])
