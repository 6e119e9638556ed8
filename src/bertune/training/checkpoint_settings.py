"""The settings of a run's checkpoints, beside those of its training."""

from dataclasses import dataclass
from typing import Final

from bertune.errors import ConfigError
from bertune.training.save_cadence import SaveEvery

NEVER: Final = "never"


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """How a run is saved while it trains, so that it can be resumed where it was interrupted.

    Args:
        save_every: save after so many optimizer steps, 500, or minutes, 15m; by default every 10 minutes. Ends of
            epochs are saved as well, but for those of epochs so short that saving would take over 3 % of the time.
            With never nothing is saved, and Ctrl-C ends the run at once.
        keep_last: checkpoints that are kept; an older one is deleted when a new one is complete.
        keep_checkpoints: leave the last checkpoints in the folder when the run has ended.

    Raises:
        ConfigError: `save_every` is neither steps nor minutes, or no checkpoint would be kept.
    """

    save_every: int | str | None = None
    keep_last: int = 2
    keep_checkpoints: bool = False

    def __post_init__(self) -> None:
        if self.saves:
            _ = self.cadence
        if self.keep_last < 1:
            raise ConfigError(f"keep_last must be at least 1, not {self.keep_last}")

    @property
    def saves(self) -> bool:
        """Whether anything is saved at all."""
        return self.save_every != NEVER

    @property
    def cadence(self) -> SaveEvery:
        """How often."""
        return SaveEvery.of(None if self.save_every is None else str(self.save_every))

    def changed(self) -> dict[str, int | str | bool]:
        """Returns what is not as by default, by the names of the fields."""
        values = {"save_every": self.save_every, "keep_last": self.keep_last, "keep_checkpoints": self.keep_checkpoints}
        usual = {"save_every": None, "keep_last": CheckpointSettings.keep_last, "keep_checkpoints": False}
        return {name: value for name, value in values.items() if value is not None and value != usual[name]}
