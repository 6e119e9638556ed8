"""Reading the pictures back."""

import re
from pathlib import Path
from xml.etree import ElementTree

_SVG = "{http://www.w3.org/2000/svg}"


def texts(path: Path) -> list[str]:
    """All lines of text of an SVG picture, top of the file first."""
    return ["".join(element.itertext()).strip() for element in ElementTree.parse(path).iter(f"{_SVG}text")]


def texts_by_name(path: Path) -> dict[str, str]:
    """The text of each group that has a name of its own."""
    groups = ElementTree.parse(path).iter(f"{_SVG}g")
    return {group.get("id", ""): "".join(group.itertext()).strip() for group in groups if len(group) == 1}


def count_in(text: str) -> int:
    """The first number of a text, such as 1,234."""
    found = re.search(r"\d[\d,]*", text)
    assert found is not None, text
    return int(found.group().replace(",", ""))
