"""Files changed as no program writes them: damaged bytes, hostile pieces of text, values of JSON that are others."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

from tests.damage import damaged

Mutation = Callable[[bytes, random.Random], bytes]

_PIECES = (
    *(b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x1b[2J", b"\x85", b"\r", b"\n", b"\r\n\r\n"),
    *(b'"', b"'", b"\\", b"\\ud800", b",", b"\t", b";", b"=", b"#", b"[[x]]\n", b"{", b"}", b"]", b":"),
    *(b"[" * 5000, b'{"a":' * 5000, b"9" * 5000, b"-1", b"0", b"1e400", b"NaN", b"-Infinity", b"null", b"true"),
    *("\u2028".encode(), "\u202e".encode(), "\U0001f600".encode(), "e\u0301".encode(), b"x" * 20_000, b" " * 3000),
    *(b'"__proto__"', b"../../etc/passwd", b"/dev/zero", b"$(id)", b"=cmd|'/c calc'!A0", b"%s%n", b"{0.__class__}"),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 7, 2**31, 2**63, 10**18, 10**400, 0.5, -1e308, 1e308, float("nan")),
    *("", "x", "\ud800", "\x1b[2J", "../x", "/dev/zero", "x" * 5000, "os.system", "1e400", "1" * 400),
    *([], [[]], [None], [0] * 3, ["x", "x"], {}, {"x": None}, {"": ""}, [{}], {"__class__": "x"}),
)
_MOST_OF_A_LIST = 3


def of_bytes(content: bytes, draw: random.Random) -> bytes:
    """Flips a bit, cuts, overwrites, moves or repeats."""
    return list(damaged(content, 8, str(draw.random())))[draw.randrange(8)]


def of_text(content: bytes, draw: random.Random) -> bytes:
    """Puts hostile pieces somewhere, instead of something, or damages lines."""
    for _ in range(draw.randint(1, 3)):
        kind = draw.random()
        place = draw.randrange(len(content) + 1)
        if kind < 0.6:
            content = content[:place] + draw.choice(_PIECES) + content[place + draw.choice((0, 0, 1, 8)) :]
        elif kind < 0.7:
            content = content[:place] + draw.randbytes(draw.randint(1, 9)) + content[place:]
        else:
            lines = content.split(b"\n")
            one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
            lines[one] = draw.choice((lines[other], b"", lines[one] * 2, lines[one] + lines[other]))
            content = b"\n".join(lines)
    return content


def of_json(content: bytes, draw: random.Random) -> bytes:
    """Puts one or two other values into JSON, or takes some out."""
    values = json.loads(content)
    for _ in range(draw.randint(1, 2)):
        values = _with_other_value(values, draw)
    return json.dumps(values).encode()


def of_json_lines(content: bytes, draw: random.Random) -> bytes:
    """Does so in one line of many."""
    lines = content.splitlines()
    place = draw.randrange(len(lines))
    lines[place] = of_json(lines[place], draw)
    return b"\n".join(lines) + b"\n"


def _with_other_value(values: Any, draw: random.Random) -> Any:
    """Walks down to a place by chance, so that small parts are met as often as large ones."""
    other = copy.deepcopy(draw.choice(_VALUES))
    if not isinstance(values, dict | list) or not values or draw.random() < 0.02:
        return other
    values = copy.copy(values)
    keys = list(values) if isinstance(values, dict) else list(range(min(len(values), _MOST_OF_A_LIST)))
    key = draw.choice(keys)
    if isinstance(values[key], dict | list) and values[key] and draw.random() < 0.8:
        values[key] = _with_other_value(values[key], draw)
        return values
    kind = draw.random()
    if kind < 0.2:
        del values[key]
    elif kind < 0.3 and isinstance(values, dict):
        values[str(draw.choice(_VALUES))[:50]] = other
    elif kind < 0.35 and isinstance(values, list):
        values.append(copy.deepcopy(values[key]))
    elif kind < 0.5 and isinstance(values[key], int | float) and not isinstance(values[key], bool):
        values[key] = draw.choice(
            (-values[key], values[key] + 1, values[key] * 10**6, values[key] / 3 if abs(values[key]) < 1e300 else 0.5)
        )
    else:
        values[key] = other
    return values
