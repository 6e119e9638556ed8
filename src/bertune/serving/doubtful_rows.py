"""The doubtful training rows of a run that is served, and the decisions on their labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bertune.data.examples import number_in
from bertune.data.relabel_file import Relabel, digest_of, label_text, read_relabels, relabels_text
from bertune.data.task_kind import TaskKind
from bertune.errors import DataError
from bertune.system.atomic import write_text
from bertune.system.folder_lock import only_run_in
from bertune.system.json_file import read_json_object

RELABEL_FILE: Final = "relabel.csv"
_NUMBERS: Final = "metrics.json"
_AGAIN: Final = "bertune report RUN writes it again"


class UndecidableError(Exception):
    """Decisions that are none on these rows; says which."""


@dataclass(frozen=True)
class DoubtfulRows:
    """The rows that the report of a run shows.

    Args:
        run: the folder.
        rows: as undecided decisions: file, line, texts and label.
        kind: of the task.
        labels: of the model; empty for values.
        applied: the decisions that the run was trained with, as its settings name them.
    """

    run: Path
    rows: tuple[Relabel, ...]
    kind: TaskKind
    labels: tuple[str, ...]
    applied: str | None

    @classmethod
    def of(cls, run: Path) -> "DoubtfulRows":
        """Reads them from the numbers of the report.

        Raises:
            DataError: there are none, or the file is damaged.
        """
        path = run / _NUMBERS
        if path.is_symlink() or not path.is_file():
            raise DataError(f"no {_NUMBERS} in this run", hint=_AGAIN)
        values = read_json_object(path)
        try:
            rows = tuple(_undecided(row) for row in (values["doubtful"] or {"rows": []})["rows"])
            kind, labels = TaskKind(values["model"]["kind"]), tuple(map(str, values["model"]["labels"]))
            applied = values["settings"].get("relabel")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{_NUMBERS} of this run is not what bertune writes", hint=_AGAIN) from error
        return cls(run, rows, kind, labels, None if applied is None else str(applied))

    def to_dict(self) -> dict[str, Any]:
        """Returns what the page shows of them.

        Raises:
            BertuneError: the decisions that are kept cannot be read.
        """
        kept = {(each.file, each.line): each for each in self._kept()}
        shown = []
        for row in self.rows:
            decided = kept.get((row.file, row.line))
            shown.append(
                {
                    "place": f"{row.file}:{row.line}",
                    "label": row.label,
                    "decision": None if decided is None else decided.decision,
                    "new_label": "" if decided is None else decided.new_label,
                }
            )
        return {"kind": str(self.kind), "labels": list(self.labels), "applied": self.applied, "rows": shown}

    def keep(self, decisions: Sequence[Any]) -> str:
        """Writes decisions into the run folder, in the place of those that were there on the same rows.

        Args:
            decisions: for each row `place`, `decision` and, where it is changed, `new_label`; other rows are undecided.

        Returns:
            The table as it was written.

        Raises:
            UndecidableError: one is about no row of the report, or has a label that does not exist.
            BertuneError: the decisions that were kept before cannot be read.
        """
        places = {f"{row.file}:{row.line}": row for row in self.rows}
        made: dict[str, Relabel] = {}
        for number, given in enumerate(decisions):
            place, relabel = self._decided(given, places, number)
            if place in made:
                raise UndecidableError(f"decision {number}: {place} is decided on twice")
            made[place] = relabel
        path = self.run / RELABEL_FILE
        # Between reading and writing another thread or worker might write what would then be gone.
        with only_run_in(path, wait=True):
            others = [each for each in self._kept() if f"{each.file}:{each.line}" not in places]
            text = relabels_text([*others, *(made[place] for place in places if place in made)])
            # The folder may come from somebody else, and a link in it lead anywhere.
            write_text(path, text, follow=False)
        return text

    def _kept(self) -> list[Relabel]:
        path = self.run / RELABEL_FILE
        if path.is_symlink():
            raise DataError(f"{RELABEL_FILE} of this run is a link", hint="put the file itself there")
        return list(read_relabels(path).values()) if path.exists() else []

    def _decided(self, given: Any, places: dict[str, Relabel], number: int) -> tuple[str, Relabel]:
        if not isinstance(given, dict) or set(given) - {"place", "decision", "new_label"}:
            raise UndecidableError(f"decision {number}: not an object with place, decision and new_label")
        row = places.get(str(given.get("place")))
        if row is None:
            raise UndecidableError(f"decision {number}: the report has no such row; load it again")
        decision, new_label = given.get("decision"), given.get("new_label", "")
        match decision:
            case "accept" | "skip" if not new_label:
                made = Relabel(row.file, row.line, row.texts, row.label, decision)
            case "change":
                made = Relabel(row.file, row.line, row.texts, row.label, decision, self._new_label(new_label, number))
            case _:
                raise UndecidableError(f"decision {number}: accept, change with a new label, or skip")
        return str(given["place"]), made

    def _new_label(self, given: Any, number: int) -> str:
        if self.kind.has_label_sets:
            if isinstance(given, list) and all(each in self.labels for each in given):
                return label_text(given)
        elif isinstance(given, str) and (
            given in self.labels if self.kind.has_labels else math.isfinite(number_in(given))
        ):
            return given
        raise UndecidableError(f"decision {number}: no such label")


def _undecided(row: dict[str, Any]) -> Relabel:
    file, separator, line = row["where"].rpartition(":")
    if not separator or not line.isdecimal() or "text_a" not in row:
        raise ValueError("a row without a place in a table")
    target = row["target"]
    label = label_text(tuple(target) if isinstance(target, list) else target)
    return Relabel(file, int(line), digest_of(row["text_a"], row.get("text_b")), label, "accept")
