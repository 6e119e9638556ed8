"""What an interrupted study or sweep was made with: it goes on with the same, and with nothing else."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from bertune.errors import ConfigError
from bertune.training.named_paths import Settings, same_settings

ANOTHER = "name a new folder with --out, or add --overwrite"


@dataclass(frozen=True)
class Interrupted:
    """What a folder holds of a study or a sweep that ended or was interrupted.

    Args:
        settings: what all its runs have in common, by the names of the flags.
        data: digest of what it was trained and validated on; empty where it was not kept.
        start: the folder in which it was started, for the relative paths among the settings.
    """

    what: ClassVar[str]

    settings: Settings = field(default_factory=dict)
    data: str = ""
    start: Path = field(default_factory=Path.cwd)

    def check_same(self, settings: Settings, data: str, path: Path) -> None:
        """Refuses to resume with other settings or other data.

        Raises:
            ConfigError: names the first setting that differs.
        """
        different = same_settings(self.settings, settings, start=self.start)
        if different is not None:
            name, then, now = different
            raise ConfigError(f"{path} holds a {self.what} with another {name}: {then} then, {now} now", hint=ANOTHER)
        if self.data != data:
            raise ConfigError(f"{path} holds a {self.what} of other data: the files have changed since", hint=ANOTHER)
