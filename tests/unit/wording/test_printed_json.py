"""JSON for programs that people look at in a terminal too."""

import json
import unicodedata

import pytest

from bertune.wording.printed_json import json_text

STEERING = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029", *"\u202a\u202e\u2066\u2069"]


@pytest.mark.parametrize("indent", [None, 2])
def test_no_character_that_steers_is_left_and_every_text_comes_back(indent: int | None) -> None:
    values = {"text": "".join(STEERING), "é\x9b": ["häßlich \U0001f600 房间", "a\\u009b"]}
    text = json_text(values, indent=indent)
    assert json.loads(text) == values
    left = {char for char in text if char != "\n" and (unicodedata.category(char) == "Cc" or char in STEERING)}
    assert left == set()
    assert "häßlich \U0001f600 房间" in text
    assert (text.count("\n") == 0) == (indent is None)
