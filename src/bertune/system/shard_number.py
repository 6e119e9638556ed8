"""One of several processes that share a piece of work: `--shard 2/8`, counted from 0 as job arrays count."""

import re
from dataclasses import dataclass
from typing import Final

from bertune.errors import ConfigError

_FORM: Final = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)


@dataclass(frozen=True)
class ShardNumber:
    """Which of how many processes this one is.

    Args:
        number: from 0, as `SLURM_ARRAY_TASK_ID` of an array 0-7 and `JOB_COMPLETION_INDEX` count.
        count: of all processes.

    Raises:
        ConfigError: there is no such one.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count:
            hint = "there must be one at least" if self.count < 1 else f"the last of {self.count} is {self.last}"
            raise ConfigError(f"--shard {self}: shards are counted from 0, and there is no such one", hint=hint)

    @classmethod
    def parse(cls, text: str) -> "ShardNumber":
        """Reads `I/N`.

        Raises:
            ConfigError: it is written otherwise, or I is not below N.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise ConfigError(
                f"--shard {text!r} is not I/N", hint="--shard 0/4 is the first of four, --shard 3/4 the last"
            )
        return cls(int(found[1]), int(found[2]))

    @property
    def last(self) -> str:
        """The last one, as it is written."""
        return f"{self.count - 1}/{self.count}"

    def check(self, files: int) -> None:
        """Refuses fewer files than processes.

        Raises:
            ConfigError: there are fewer.
        """
        if files < self.count:
            raise ConfigError(
                f"--shard {self} of {files} files: a process without a file has nothing to do",
                hint=f"make at least {self.count} files with --shards, or use fewer processes",
            )

    def share_of(self, total: int) -> range:
        """Gives which of `total` things, from 0, are this one's: a stretch, as long as the others' give or take one."""
        return range(total * self.number // self.count, total * (self.number + 1) // self.count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
