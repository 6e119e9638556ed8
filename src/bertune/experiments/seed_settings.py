"""The settings of a study of seeds, beside those of its runs."""

from dataclasses import dataclass

from bertune.errors import ConfigError

_MOST_SEEDS = 10_000
_MOST_DIGITS = 20


@dataclass(frozen=True, kw_only=True)
class SeedSettings:
    """Which seeds are trained, and what becomes of their models.

    Args:
        seeds: how many, counted from --seed, or which, with commas: 5, or 1,2,7. Each is a run of its own, seed-N in
            the folder; the model of the best by validation is kept. The same command resumes after those that are done.
        parallel_seeds: how many at a time, sharing the threads; 2 on a processor from four threads on, else 1.
            The number of threads of a run decides its last bits.
        average: keep the mean of several seeds' weights instead, if it is better on the validation data than the best
            seed.

    Raises:
        ConfigError: no seed, one named twice, or a setting that could have no effect.
    """

    seeds: int | str | None = None
    parallel_seeds: int | None = None
    average: bool = False

    def __post_init__(self) -> None:
        if self.seeds is None:
            for flag, is_set in {
                "--parallel-seeds": self.parallel_seeds is not None,
                "--average": self.average,
            }.items():
                if is_set:
                    raise ConfigError(f"{flag} is about several seeds", hint="name them with --seeds")
            return
        count = self.seeds if isinstance(self.seeds, int) else len(_parsed(self.seeds))
        if count < 1:
            raise ConfigError(f"seeds must be at least 1, not {count}")
        if count > _MOST_SEEDS:
            raise ConfigError(f"seeds must be at most {_MOST_SEEDS:,}, not {count!s:.40}")
        if self.average and count == 1:
            raise ConfigError("--average needs two seeds or more", hint="use for instance --seeds 5")
        if self.parallel_seeds is not None and self.parallel_seeds < 1:
            raise ConfigError(f"parallel_seeds must be at least 1, not {self.parallel_seeds}")

    @property
    def are_named(self) -> bool:
        """Whether each seed is named, rather than counted from the first."""
        return isinstance(self.seeds, str)

    def numbers(self, first: int) -> tuple[int, ...]:
        """Returns the seeds.

        Args:
            first: where counting begins.
        """
        assert self.seeds is not None
        return _parsed(self.seeds) if isinstance(self.seeds, str) else tuple(range(first, first + self.seeds))


def _parsed(text: str) -> tuple[int, ...]:
    numbers = []
    for part in text.split(","):
        number = part.strip()
        if not (number.isascii() and number.isdecimal() and len(number) < _MOST_DIGITS):
            raise ConfigError(
                f"--seeds {text:.80}: {number!r:.40} is not a seed", hint="name whole numbers, as in --seeds 1,2,7"
            )
        numbers.append(int(number))
    twice = [number for number in numbers if numbers.count(number) > 1]
    if twice:
        raise ConfigError(f"--seeds {text}: seed {twice[0]} is named twice")
    return tuple(numbers)
