"""`bertune report`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertune.cli.options import OutputOptions
from bertune.cli.terminal import show, show_json


def report(
    run: Path,
    *,
    output: Annotated[OutputOptions, Parameter(name="*")] = OutputOptions(),  # noqa: B008 (frozen)
) -> None:
    """Write the report of a run again, from the files of its folder.

    Writes `report.html`, one file that opens anywhere, and `metrics.json`, with every number of it. `bertune train`
    writes both at its end.

    Args:
        run: the folder of the run.
        output: what is printed; the JSON document is `metrics.json`.
    """
    from bertune.reports.run_report import NUMBERS, write_report
    from bertune.system.json_file import MAX_OWN_BYTES, read_json_object

    written = write_report(run)
    if output.json:
        show_json(read_json_object(run / NUMBERS, max_bytes=MAX_OWN_BYTES, any_text=True))
    else:
        show([f"report: {written}"])
