"""Findings of the data audit, and the fixed names of all of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

CODES = {
    "not_audited": "the texts were not looked at",
    "reading": "the reader took something as it stands that looks wrong",
    "refused_rows": "rows that could not be used",
    "wrong_delimiter": "a column holds further columns, parted by another character",
    "swallowed_lines": "a text holds rows of the table: a quote is not closed where it should be",
    "header_as_row": "a row holds the names of the columns",
    "row_as_header": "the first row was taken as the names of the columns",
    "blank_texts": "texts that are empty or only spaces",
    "missing_label": "labels such as nan or None, as programs write a missing one",
    "missing_text": "texts such as nan or None, as programs write a missing one",
    "constant_text": "a text column that says the same in every row",
    "ids_as_text": "a text column of numbers or identifiers",
    "long_text": "texts many times longer than the others",
    "control_characters": "control characters, which no reader sees",
    "replacement_characters": "U+FFFD, the mark of characters that were lost",
    "mojibake": "UTF-8 that was read in another encoding",
    "markup": "HTML tags or entities",
    "duplicates": "texts that occur before in the same split",
    "near_duplicates": "the same but for case, space, punctuation and signs that look the same",
    "swapped_pairs": "pairs that occur before with their texts swapped",
    "identical_pairs": "pairs of a text and itself",
    "conflicting_labels": "the same texts with different labels, also where they only look the same",
    "label_variants": "labels that differ only in case, space, signs that look the same, or how a number is written",
    "label_as_text": "texts that are the label and nothing else",
    "label_in_text": "texts that name their label",
    "one_class": "training data with one label or one target",
    "single_example": "labels with one row",
    "absent_label": "task labels missing from a split",
    "unknown_label": "labels of a split that the training data have not",
    "imbalance": "a label far rarer than its even share",
    "label_shift": "a split whose labels are distributed otherwise than those of training",
    "overlap_exact": "texts that an earlier split has",
    "overlap_normalised": "texts that an earlier split has, but for case, space, punctuation and look-alikes",
    "overlap_swapped": "pairs that an earlier split has with the texts swapped",
    "truncation": "examples that lose tokens at the greatest length",
    "unknown_tokens": "words that the vocabulary cannot spell",
}
"""The codes, each with what it stands for. They do not change; new ones may come."""

PLACES_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """Something about the data that its user should know.

    Args:
        code: one of `CODES`.
        message: one sentence, with the split and numbers.
        count: of the rows (of labels, where it is about labels) that it is about.
        places: file and line of the first few of them.
        counterparts: for what repeats or contradicts another row, file and line of that one, in the order of `places`.
    """

    code: str
    message: str
    count: int
    places: tuple[str, ...] = ()
    counterparts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"{self.code!r} is no code of a finding")

    def lines(self) -> list[str]:
        """Gives the sentence, and where there are places, a line of the first ones."""
        lines = [f"{self.code}: {self.message}"]
        if self.places:
            shown = _without_repeated_paths(self.places)
            if self.counterparts:
                others = _without_repeated_paths(self.counterparts)
                shown = [f"{mine} ({other})" for mine, other in zip(shown, others, strict=True)]
            lines.append(f"  at {', '.join(shown)}{', …' if self.count > len(shown) else ''}")
        return lines

    def line(self) -> str:
        """Gives the sentence on one line, with the first place alone, by its file's name."""
        if not self.places:
            return f"{self.code}: {self.message}"
        return f"{self.code}: {self.message} ({Path(self.places[0]).name}{', …' if self.count > 1 else ''})"

    def to_dict(self) -> dict[str, Any]:
        """Gives the finding as plain values for JSON."""
        return asdict(self)


def _without_repeated_paths(places: Sequence[str]) -> list[str]:
    """Leaves out the path where it is that of the place before: ``train.tsv:5, 9``."""
    paths = [place.rpartition(":")[0] for place in places]
    repeated = [False, *(one == other for one, other in pairwise(paths))]
    return [place.rpartition(":")[2] if again else place for place, again in zip(places, repeated, strict=True)]
