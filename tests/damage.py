"""Files damaged in the ways in which files are: flipped bits, cuts, nonsense numbers, pieces twice or missing."""

import random
from collections.abc import Callable, Iterator

# What lengths and offsets are most often wrong by.
_NONSENSE = tuple(
    value.to_bytes(size, "little", signed=True)
    for size, values in ((4, (0, -1, 2**31 - 1, -(2**31))), (8, (-1, 1 << 40, 1 << 62, -(1 << 63))))
    for value in values
)


def damaged(content: bytes, count: int, seed: str) -> Iterator[bytes]:
    """Damages a file so many times, each time again and once; the same seed gives the same ones.

    Args:
        content: of the sound file, at least 16 bytes.
        count: how many.
        seed: anything.
    """
    draw = random.Random(seed)
    for number in range(count):
        yield _KINDS[number % len(_KINDS)](content, draw)


def _flipped(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def _overwritten(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.randrange(1, 4)):
        value = draw.choice((*_NONSENSE, draw.randbytes(4)))
        place = draw.randrange(len(content) - len(value))
        changed[place : place + len(value)] = value
    return bytes(changed)


def _moved(content: bytes, draw: random.Random) -> bytes:
    start, end = sorted(draw.randrange(len(content)) for _ in range(2))
    piece = content[start:end][:64]
    place = draw.randrange(len(content))
    return draw.choice(
        (content[:start] + content[start + len(piece) :], content[:place] + piece + content[place:])  # out, and twice
    )


_KINDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flipped,
    _flipped,
    _flipped,
    _flipped,
    _cut,
    _overwritten,
    _overwritten,
    _moved,
)
