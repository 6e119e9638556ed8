"""The settings of cross-validation, beside those of its runs."""

from dataclasses import dataclass

from bertune.data.folds import FEWEST_FOLDS
from bertune.errors import ConfigError
from bertune.training.run_settings import RunSettings

_MOST_FOLDS = 1_000


@dataclass(frozen=True, kw_only=True)
class FoldSettings:
    """Whether the score comes from cross-validation.

    Args:
        folds: divide the training rows into so many parts, and train as often on all but one, which gives every row an
            answer by a model that did not learn from it; these are the score. The model that is kept is then trained on
            all rows, with the median of the folds' best number of steps. Takes the place of --validation. The same
            command resumes after the folds that are done.

    Raises:
        ConfigError: fewer than 2.
    """

    folds: int | None = None

    def __post_init__(self) -> None:
        if self.folds is None:
            return
        if self.folds < FEWEST_FOLDS:
            raise ConfigError(
                f"--folds must be at least {FEWEST_FOLDS}, not {self.folds}",
                hint="5 or 10 are usual; one held-back part is --validation 0.1",
            )
        if self.folds > _MOST_FOLDS:
            raise ConfigError(f"--folds must be at most {_MOST_FOLDS:,}, not {self.folds!s:.40}")

    def refuse_contradictions(self, settings: RunSettings, *, with_seeds: bool) -> None:
        """Refuses settings that folds leave without effect.

        Args:
            settings: of the run.
            with_seeds: whether several seeds are asked for.

        Raises:
            ConfigError: names the flag.
        """
        if self.folds is None:
            return
        if with_seeds:
            raise ConfigError("--folds and --seeds are two ways to several runs", hint="leave one of them out")
        if settings.teacher is not None:
            raise ConfigError(
                f"--folds and --teacher {settings.teacher} do not go together: a teacher has learned from all rows",
                hint="leave --folds out",
            )
        if settings.validation is not None:
            raise ConfigError(
                f"--folds {self.folds} scores every training row, so --validation {settings.validation} has no effect",
                hint="leave it out; rows to score once at the end are named with --test",
            )
