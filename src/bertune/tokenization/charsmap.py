"""The normalization table of SentencePiece (`precompiled_charsmap`), checked before a program walks through it.

A table is the size of a double array in bytes (4, little endian), the array of 32-bit units, and the texts that stand
for what is replaced, each ended by a zero byte. The `tokenizers` library follows its numbers without looking at where
they lead.
"""

import numpy as np
from numpy.typing import NDArray

_HEADER = 4
_UNIT = 4


def charsmap_fault(content: bytes) -> str | None:
    """Says what is wrong with a table, None where nothing is.

    Args:
        content: the bytes of the table.
    """
    if len(content) <= _HEADER:
        return "it is too short"
    size = int.from_bytes(content[:_HEADER], "little")
    texts = content[_HEADER + size :]
    if size % _UNIT or not 0 < size <= len(content) - _HEADER:
        return "the size of its array is not one"
    try:
        texts.decode("utf-8")
    except UnicodeDecodeError:
        return "its texts are not UTF-8"
    return _walk(np.frombuffer(content, "<u4", size // _UNIT, _HEADER).astype(np.int64), texts)


def _walk(units: NDArray[np.int64], texts: bytes) -> str | None:
    """Follows all paths of the array at once, as long as there are new nodes."""
    offsets = (units >> 10) << ((units & (1 << 9)) >> 6)
    labels = units & ((1 << 31) | 0xFF)
    has_leaf = (units >> 8) & 1 == 1
    seen = np.zeros(len(units), bool)
    nodes: NDArray[np.int64] = offsets[:1]
    characters = np.arange(1, 256)
    while len(nodes):
        places = nodes[:, None] ^ characters
        if places.max() >= len(units):
            return "a path leads out of its array"
        found = places[labels[places] == characters]
        new = np.unique(found[~seen[found]])
        seen[new] = True
        nodes = new ^ offsets[new]
        leaves = nodes[has_leaf[new]]
        if len(leaves) and leaves.max() >= len(units):
            return "a path leads out of its array"
        values = units[leaves] & ((1 << 31) - 1)
        if len(values) and values.max() >= len(texts):
            return "a replacement leads out of its texts"
        if any(texts[value] & 0xC0 == 0x80 for value in values.tolist()):
            return "a replacement begins inside of a character"
    return None
