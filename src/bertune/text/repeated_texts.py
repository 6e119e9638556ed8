"""Texts that occur more than once: inside a split, and in two splits."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bertune.text.examples import Examples
from bertune.text.findings import Finding
from bertune.text.nearest import shorten

Answers = Sequence[str | float] | None
"""What contradictions are judged by, a row each: label words, or targets as numbers."""
TextKey = tuple[str, str | None]

_NOT_WORDS = re.compile(r"[\W_]+")


@dataclass
class Repetitions:
    """What occurs more than once inside one split.

    Args:
        duplicates: examples whose texts occur earlier in the split.
        conflicts: distinct texts that occur with different labels.
        findings: what its user should know of it.
    """

    duplicates: int = 0
    conflicts: int = 0
    findings: list[Finding] = field(default_factory=list)


def repetitions_in(name: str, examples: Examples, answers: Answers) -> Repetitions:
    """Counts repetitions and contradictions inside one split.

    Args:
        name: of the split.
        examples: of the split.
        answers: of each example; None without labels.
    """
    found = Repetitions()
    first_row: dict[TextKey, int] = {}
    contradicted: dict[TextKey, int] = {}
    first_repeat: int | None = None
    for row, key in enumerate(_exact_keys(examples)):
        first = first_row.setdefault(key, row)
        if first == row:
            continue
        found.duplicates += 1
        first_repeat = row if first_repeat is None else first_repeat
        if answers is not None and answers[row] != answers[first]:
            contradicted.setdefault(key, row)
    found.conflicts = len(contradicted)
    if first_repeat is not None:
        original = first_row[_key(examples, first_repeat)]
        found.findings.append(
            Finding(
                "duplicates",
                "note",
                f"{name}: {_count(found.duplicates, 'repeats', 'repeat')} the texts of an earlier one, the first: "
                f"{examples.where(first_repeat)} repeats {_place(examples, original, first_repeat)}",
            )
        )
    if contradicted:
        key, row = next(iter(contradicted.items()))
        first = first_row[key]
        found.findings.append(
            Finding(
                "conflicting_labels",
                "warning",
                f"{name}: texts with conflicting labels: {len(contradicted):,}, the first: {examples.where(row)} says "
                f"'{_word(examples, row)}', {_place(examples, first, row)} says '{_word(examples, first)}'",
            )
        )
    return found


def overlaps_between(splits: Mapping[str, Examples], answers: Mapping[str, Answers]) -> Iterator[Finding]:
    """Finds examples of a split whose texts an earlier split has, as they are and after normalising.

    Args:
        splits: the examples of each split, ``train`` first.
        answers: of each split's examples.
    """
    names = list(splits)
    exact: dict[str, dict[TextKey, int]] = {}
    normal: dict[str, dict[TextKey, int]] = {}
    for position, name in enumerate(names):
        examples = splits[name]
        exact_rows = list(_exact_keys(examples))
        normal_rows = [_normalised(key) for key in exact_rows]
        for earlier in names[:position]:
            same = [row for row, key in enumerate(exact_rows) if key in exact[earlier]]
            alike = [row for row, key in enumerate(normal_rows) if key in normal[earlier]]
            known = set(same)
            alike = [row for row in alike if row not in known]
            if same:
                origin = exact[earlier][exact_rows[same[0]]]
                yield _overlap("overlap_exact", splits, name, earlier, same, origin)
                origins = [(row, exact[earlier][exact_rows[row]]) for row in same]
                yield from _contradictions(splits, answers, name, earlier, origins)
            if alike:
                origin = normal[earlier][normal_rows[alike[0]]]
                yield _overlap("overlap_normalised", splits, name, earlier, alike, origin)
        exact[name] = _first_rows(exact_rows)
        normal[name] = _first_rows(normal_rows)


def _overlap(
    code: str, splits: Mapping[str, Examples], name: str, earlier: str, rows: list[int], origin: int
) -> Finding:
    how = "" if code == "overlap_exact" else " but for case, space and punctuation"
    examples = splits[name]
    return Finding(
        code,
        "warning",
        f"{name}: {len(rows):,} of {len(examples):,} examples ({len(rows) / len(examples):.1%}) with the texts of an "
        f"example in {earlier}{how}, the first: {examples.where(rows[0])} and {splits[earlier].where(origin)}",
    )


def _contradictions(
    splits: Mapping[str, Examples],
    answers: Mapping[str, Answers],
    name: str,
    earlier: str,
    pairs: list[tuple[int, int]],
) -> Iterator[Finding]:
    """Tells of rows whose label differs from that of the same texts in an earlier split."""
    mine, theirs = answers[name], answers[earlier]
    if mine is None or theirs is None:
        return
    differing = [(row, origin) for row, origin in pairs if mine[row] != theirs[origin]]
    if not differing:
        return
    row, origin = differing[0]
    yield Finding(
        "conflicting_labels",
        "warning",
        f"{name}: {_count(len(differing), 'contradicts', 'contradict')} the label of the same texts in {earlier}, the "
        f"first: {splits[name].where(row)} says '{_word(splits[name], row)}', "
        f"{splits[earlier].where(origin)} says '{_word(splits[earlier], origin)}'",
    )


def _word(examples: Examples, row: int) -> str:
    return "" if examples.labels is None else shorten(examples.labels[row])


def _count(number: int, one: str, many: str) -> str:
    return f"1 example {one}" if number == 1 else f"{number:,} examples {many}"


def _place(examples: Examples, row: int, beside: int) -> str:
    """Names a row shortly when it is in the same file as the one named before."""
    same_file = examples.paths is None or examples.paths[row] == examples.paths[beside]
    return f"line {examples.lines[row]}" if same_file else examples.where(row)


def _first_rows(keys: list[TextKey]) -> dict[TextKey, int]:
    first: dict[TextKey, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    return first


def _exact_keys(examples: Examples) -> Iterator[TextKey]:
    if examples.texts_b is None:
        return ((text, None) for text in examples.texts_a)
    return iter(zip(examples.texts_a, examples.texts_b, strict=True))


def _key(examples: Examples, row: int) -> TextKey:
    return examples.texts_a[row], None if examples.texts_b is None else examples.texts_b[row]


def _normalised(key: TextKey) -> TextKey:
    return _normalised_text(key[0]), None if key[1] is None else _normalised_text(key[1])


def _normalised_text(text: str) -> str:
    # A text of punctuation alone stays as it is: "!" and "?" are not the same.
    return _NOT_WORDS.sub(" ", text.casefold()).strip() or text
