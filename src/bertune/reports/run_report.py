"""The report of a run: `metrics.json` with every number, and `report.html` made of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bertune.errors import DataError
from bertune.reports.calibration_section import calibration
from bertune.reports.headline import headline
from bertune.reports.numbers import report_numbers
from bertune.reports.origins import data_audit, origins, weights, what_was_run
from bertune.reports.page import page
from bertune.reports.rows_section import doubtful_rows, errors
from bertune.reports.run_metrics import RunMetrics
from bertune.reports.scores_section import scoring
from bertune.reports.seeds_section import seeds_section
from bertune.reports.training_section import training
from bertune.system.atomic import write_text

REPORT: Final = "report.html"
NUMBERS: Final = "metrics.json"


def write_report(folder: Path) -> Path:
    """Writes `metrics.json` and `report.html` into a run folder, from its other files.

    Args:
        folder: of a run.

    Returns:
        The path of the report.

    Raises:
        ConfigError: the folder is not one of a run.
        DataError: a file of it is damaged.
    """
    with _damage_named(folder):
        numbers = report_numbers(folder)
        page_text = report_page(numbers)
    # A run folder may come from somebody else, so links in it are not followed. Escaped, since texts of the data may
    # hold halves of surrogate pairs.
    write_text(folder / NUMBERS, json.dumps(numbers.to_json(), indent=1, allow_nan=False) + "\n", follow=False)
    write_text(folder / REPORT, page_text, follow=False)
    return folder / REPORT


@contextmanager
def _damage_named(folder: Path) -> Iterator[None]:
    """Says of a file that has every entry, and in one of them what no run writes, that the run is damaged."""
    try:
        yield
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise DataError(
            f"{folder}: a file of this run holds what bertune does not write ({type(error).__name__}: {error!s:.80})",
            hint="bring its files back from a copy, or train again; if nobody changed them, report this as a fault",
        ) from error


def report_page(numbers: RunMetrics) -> str:
    """Returns the page for the numbers of a run."""
    sections = [
        what_was_run(numbers),
        *seeds_section(numbers),
        *scoring(numbers),
        *calibration(numbers),
        *training(numbers),
        *errors(numbers.answers),
        *doubtful_rows(numbers.doubtful),
        *data_audit(numbers.data),
        *weights(numbers.receipt),
        origins(numbers),
    ]
    return page(f"bertune report: {numbers.run}", *sections, header=headline(numbers))
