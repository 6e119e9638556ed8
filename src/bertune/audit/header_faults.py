"""Checks of a table's first lines, before its columns are named: a wrong delimiter, a row taken as header."""

from itertools import islice

from bertune.audit.findings import Finding
from bertune.data.formats.delimited import DELIMITERS, DelimitedTable, delimiter_flag, delimiter_name
from bertune.data.table import Pick, Table
from bertune.wording.nearest import shorten

_ROWS = 200
_WORDS_OF_A_NAME = 3


def findings_of_header(table: Table) -> list[Finding]:
    """Looks at the header of a table and at its first rows."""
    findings: list[Finding] = []
    names = table.names
    if not isinstance(table, DelimitedTable) or names is None:
        return findings
    picks = [Pick(number, name, "plain") for number, name in enumerate(names)]
    rows = [row[1] for row in islice(table.rows(picks), _ROWS) if isinstance(row, tuple)]
    place = (f"{table.path}:1",)
    if len(names) == 1:
        for delimiter in DELIMITERS:
            name = delimiter_name(delimiter)
            times = names[0].count(delimiter)
            alike = sum((cells[0] or "").count(delimiter) == times for cells in rows)
            if times and alike >= 0.95 * len(rows):
                message = (
                    f"one column, and {name} as often in every row as in the first; if that stands between cells: "
                    f"{delimiter_flag(delimiter)}"
                )
                findings.append(Finding("wrong_delimiter", message, len(rows), place))
    long = [name for name in names if len(name.split()) > _WORDS_OF_A_NAME]
    repeated = [name for number, name in enumerate(names) if name and any(cells[number] == name for cells in rows)]
    numbers = [name for name in names if name.replace(".", "", 1).isdigit()]
    for what, found in (("a sentence", long), ("a value of its column", repeated), ("a number", numbers)):
        if found:
            message = (
                f"the first line names a column '{shorten(found[0])}', {what}; if the table has no header: --no-header"
            )
            findings.append(Finding("row_as_header", message, 1, place))
            break
    return findings
