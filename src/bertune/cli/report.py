"""`bertune report`."""

from pathlib import Path


def report(run: Path, *, json: bool = False) -> None:
    """Write the report of a run again, from the files of its folder.

    Writes `report.html`, one file that opens anywhere, and `metrics.json`, with every number of it. `bertune train`
    writes both at its end.

    Args:
        run: the folder of the run.
        json: print the numbers as one JSON document.
    """
    from bertune.cli.terminal import show, show_json
    from bertune.json_file import MAX_OWN_BYTES, read_json_object
    from bertune.reports.report import NUMBERS, write_report

    written = write_report(run)
    if json:
        show_json(read_json_object(run / NUMBERS, max_bytes=MAX_OWN_BYTES, any_text=True))
    else:
        show([f"report: {written}"])
