"""JSON for programs that people look at in a terminal too."""

import json
import re
from typing import Any

# What of the characters that steer a terminal JSON itself leaves as it is.
_STEERING_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def json_text(values: Any, *, indent: int | None = None) -> str:
    """Writes values as JSON whose texts cannot steer a terminal: their control characters are escaped, the rest is not.

    Args:
        values: of types that JSON knows.
        indent: see `json.dumps`.
    """
    # Half of a surrogate pair can stand deep inside a value; its escape is what JSON has for it.
    text = json.dumps(values, ensure_ascii=False, indent=indent, allow_nan=False)
    text = text.encode("utf-8", "backslashreplace").decode()
    return _STEERING_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
