"""Lines of a stream as they come: whoever writes into a pipe and keeps it open gets each answer at once."""

from collections.abc import Callable, Iterator, Sequence
from typing import IO, cast

from bertune.data.examples import Examples
from bertune.data.formats.text_lines import text_lines, without_ending
from bertune.errors import DataError

_MOST_LINES = 1024
_MOST_BYTES = 1 << 20


def arriving_examples(stream: IO[bytes], *, pair: bool, name: str = "standard input") -> Iterator[Examples]:
    """Reads lines as texts to predict, as many at a time as there are, and waits only where there is none.

    Args:
        stream: open; best a pipe or a file.
        pair: as for `read_lines`.
        name: how messages call the stream.

    Yields:
        1 to 1,024 examples, whose lines are counted from the first of the stream.

    Raises:
        DataError: as for `read_lines`; the lines before have come by then.
    """
    source = _ArrivingLines(stream)
    lines = text_lines(cast(IO[bytes], source), name)
    taken: list[tuple[str, ...]] = []
    before = 0
    while True:
        problem: DataError | None = None
        try:
            while not taken or (len(taken) < _MOST_LINES and source.has_line()):
                taken.append(texts_of_line(next(lines), pair=pair, where=f"{name}:{before + len(taken) + 1}"))
        except StopIteration:
            if not before and not taken:
                raise nothing_in(name) from None
        except DataError as error:
            problem = error
        if taken:
            yield _examples(taken, before, name)
        if problem is not None:
            raise problem
        if not taken:
            return
        before += len(taken)
        taken = []


def typed_examples(
    stream: IO[bytes], ask: Callable[[str], None], names: Sequence[str], *, name: str = "standard input"
) -> Iterator[Examples]:
    """Asks for one text after the other, or for the two texts of one pair after the other.

    Args:
        stream: a terminal.
        ask: told the name of the text that is waited for, before each.
        names: of the texts, one or two.
        name: how messages call the stream.

    Yields:
        One example at a time; a blank line is asked again. The end of the input is the end.
    """
    lines = text_lines(cast(IO[bytes], _ArrivingLines(stream)), name)
    number = 0
    while True:
        texts: list[str] = []
        while len(texts) < len(names):
            ask(names[len(texts)])
            line = next(lines, None)
            if line is None:
                return
            # Two texts with a tab between them can be pasted as one line.
            text = without_ending(line)
            parts = [text] if texts or len(names) == 1 else text.split("\t", 1)
            texts += [part for part in parts if part.strip()]
        yield _examples([tuple(texts)], number, name)
        number += 1


def texts_of_line(line: str, *, pair: bool, where: str) -> tuple[str, ...]:
    """Takes the text, or the two texts, out of a line.

    Raises:
        DataError: a pair without exactly one tab.
    """
    text = without_ending(line)
    if not pair:
        return (text,)
    cells = text.split("\t")
    if len(cells) != 2:
        raise DataError(
            f"{where}: {len(cells) - 1} tabs, expected exactly one",
            hint="this model takes pairs: the first text, a tab, the second text",
        )
    return tuple(cells)


def nothing_in(name: str) -> DataError:
    """Says that a stream has no line."""
    return DataError(f"{name} is empty", hint="expected one line for each text")


class _ArrivingLines:
    """A stream whose lines are taken one by one, and that knows whether a further one is there already."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._read = getattr(stream, "read1", stream.read)
        self._buffer = bytearray()
        self._searched = 0
        self._ended = False

    def has_line(self) -> bool:
        return self._end_of_line() >= 0 or (self._ended and bool(self._buffer))

    def readline(self, limit: int = -1) -> bytes:
        while not self._ended and self._end_of_line() < 0 and not 0 <= limit <= len(self._buffer):
            more = self._read(_MOST_BYTES)
            self._ended = not more
            self._buffer += more
        end = self._end_of_line() + 1 or len(self._buffer)
        end = end if limit < 0 else min(end, limit)
        line = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._searched = 0
        return line

    def _end_of_line(self) -> int:
        # What was searched before is not searched again: a line may come in thousands of pieces.
        found = self._buffer.find(b"\n", self._searched)
        if found < 0:
            self._searched = len(self._buffer)
        return found


def _examples(taken: list[tuple[str, ...]], before: int, name: str) -> Examples:
    first = [texts[0] for texts in taken]
    second = [texts[1] for texts in taken] if len(taken[0]) == 2 else None
    made = Examples.from_lists(first, second, name=name)
    made.lines[:] = range(before + 1, before + len(taken) + 1)
    return made
