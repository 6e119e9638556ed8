"""What is compared of the two sides, and what is left out because it differs from run to run of the same commit."""

import difflib
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path

TEXT = {".csv", ".html", ".json", ".jsonl", ".md", ".svg", ".toml", ".tsv", ".txt"}
# Times, and what is computed from them: what stands before stays, the number goes.
VOLATILE = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (
            r'("(?:\w*seconds|\w*per_second|started|ended|time|scored_at|made_at|peak_memory_bytes)": )[^,}\n]+',
            r"\1TIME",
        ),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?([+-]\d\d:\d\d|Z)?", "MOMENT"),
        (r"\d[\d,]*(\.\d+)? (examples|rows|steps|texts|pairs)(/s| a second)", r"RATE \2\3"),
        (r"(?m)^step \d+/\d+ .*\n", ""),  # as many of them as time goes by
        (r"\b\d[\d,]*(\.\d+)? (ms|s|min|h)\b", r"DURATION"),
    )
)
_LINES_SHOWN = 6
_EVENT_TIME_BYTES = 9


_TABLE = re.compile(r"<table.*?</table>", re.DOTALL)
_CELL = re.compile(r"<t[hd][^>]*>.*?</t[hd]>", re.DOTALL)


def contents(folder: Path) -> dict[str, bytes]:
    """Reads every file below a folder, without what differs from run to run.

    Args:
        folder: of one side.

    Returns:
        Path below the folder to what is to be equal; links have where they lead.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}".encode()
        elif path.is_file():
            name = re.sub(r"events\.out\.tfevents\..*", "events.out.tfevents", name)
            found[name] = _canonical(path, str(folder.resolve()))
    return found


def _canonical(path: Path, folder: str) -> bytes:
    data = path.read_bytes()
    if "tfevents" in path.name:
        return b"".join(_events_without_time(data))
    if path.suffix not in TEXT:
        return data
    text = data.decode("utf-8").replace(folder, "FOLDER")
    if path.suffix == ".html":
        text = _TABLE.sub(_without_seconds, text).replace("><", ">\n<")
    for pattern, replacement in VOLATILE:
        text = pattern.sub(replacement, text)
    return text.encode()


def _without_seconds(table: re.Match[str]) -> str:
    """Empties the column of a table that is headed by seconds."""
    first, *rows = table[0].split("</tr>")
    headings = [re.sub("<[^>]*>", "", cell) for cell in _CELL.findall(first)]
    for column in (number for number, heading in enumerate(headings) if "second" in heading):
        for number, row in enumerate(rows):
            cells = _CELL.findall(row)
            if len(cells) == len(headings):
                at = row.index(cells[column], sum(map(len, cells[:column])))
                rows[number] = row[:at] + row[at + len(cells[column]) :]
    return "</tr>".join((first, *rows))


def _events_without_time(data: bytes) -> Iterator[bytes]:
    """Splits records (length, checksum, data, checksum); drops the wall time, which each begins with, and speeds."""
    place = 0
    while place < len(data):
        length = int.from_bytes(data[place : place + 8], "little")
        event = data[place + 12 + _EVENT_TIME_BYTES : place + 12 + length]
        if b"per_second" not in event:
            yield event
        place += 16 + length


def differences(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Compares the two sides.

    Returns:
        Path of each file that differs to lines that say how.
    """
    found = {}
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            found[name] = ["only before"]
        elif name not in before:
            found[name] = ["only after"]
        elif before[name] != after[name]:
            found[name] = _how(name, before[name], after[name])
    return found


def _how(name: str, before: bytes, after: bytes) -> list[str]:
    if Path(name).suffix not in TEXT:
        sides = (f"{len(side):,} bytes, SHA-256 {sha256(side).hexdigest()[:12]}" for side in (before, after))
        return [" -> ".join(sides)]
    lines = difflib.unified_diff(before.decode().splitlines(), after.decode().splitlines(), lineterm="", n=0)
    changed = [line[:200] for line in lines if line[:3] not in ("---", "+++") and not line.startswith("@@")]
    more = len(changed) - _LINES_SHOWN
    return changed[:_LINES_SHOWN] + ([f"and {more} more lines"] if more > 0 else [])


def judge(found: Mapping[str, list[str]], expected: Mapping[str, str]) -> tuple[dict[str, list[str]], list[str]]:
    """Takes the expected differences away.

    Args:
        found: of `differences`.
        expected: pattern of paths to the reason why they may differ.

    Returns:
        The differences that nobody expected, and the patterns that met none: those are wrong as well.
    """
    unexpected = {
        name: how for name, how in found.items() if not any(fnmatchcase(name, pattern) for pattern in expected)
    }
    unmet = [pattern for pattern in expected if not any(fnmatchcase(name, pattern) for name in found)]
    return unexpected, unmet
