"""What the audit of the data tells its user."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["note", "warning"]


@dataclass(frozen=True)
class Finding:
    """Something about the data that its user should know.

    Args:
        code: a fixed word for programs, such as ``overlap_exact``.
        severity: ``warning`` where scores may mislead or rows are doubtful, ``note`` otherwise.
        message: one sentence with numbers, and an example's place where there is one.
    """

    code: str
    severity: Severity
    message: str
