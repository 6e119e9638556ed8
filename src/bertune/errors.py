"""The exceptions a user can meet, each with the exit code of the command line.

Exit codes are part of the public interface: 0 done, 1 unexpected, 2 usage or configuration, 3 bad or corrupt input,
4 disk or memory, 5 diverged, 6 stopped with a checkpoint, 130 and 143 stopped by a signal at once.
"""


class BertuneError(Exception):
    """Something a user can act on: what is wrong, where, and what to do.

    Args:
        message: one or two lines that name the file and line, or the tensor, and what was expected.
        hint: what to do about it, one line.

    Example:
        >>> try:
        ...     bertune.load("runs/nowhere")
        ... except bertune.BertuneError as error:
        ...     print(error.exit_code, error)
        3 runs/nowhere: no such folder
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(BertuneError):
    """A setting or an argument that cannot work."""

    exit_code = 2


class DataError(BertuneError):
    """Texts, labels or tables that cannot be used as they are."""

    exit_code = 3


class CheckpointError(BertuneError):
    """A model file that is missing, corrupt, unsafe, or of another architecture."""

    exit_code = 3


class ResourceError(BertuneError):
    """Not enough disk or memory."""

    exit_code = 4


class DivergedError(BertuneError):
    """Training produced losses or gradients that are not finite numbers."""

    exit_code = 5


class StoppedError(BertuneError):
    """A run that was asked to stop and can go on later from where it was; no fault."""

    exit_code = 6
