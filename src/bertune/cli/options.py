"""The options that several verbs have, and the refusal of those that would have no effect."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bertune.data.read_options import ReadOptions
from bertune.errors import ConfigError
from bertune.nn.device import DeviceName


@dataclass(frozen=True, kw_only=True)
class DataOptions(ReadOptions):
    """Which data, and how to read them.

    Args:
        data: a table, a folder with splits, one made by `bertune encode`, or hf://datasets/….
            Several tables are named by 'part-*.csv', or with --data before each.
        split: which split of a folder.
        text_a: column of the first text, if not the one of training.
        text_b: column of the second text, if not the one of training.
    """

    data: str | None = None
    split: str | None = None
    text_a: str | None = None
    text_b: str | None = None

    def table_flags(self) -> dict[str, bool]:
        """Tells of each flag about how a table is read whether it is set."""
        return {"text_a": self.text_a is not None, "text_b": self.text_b is not None, **self.changed()}


@dataclass(frozen=True, kw_only=True)
class ComputeOptions:
    """Where and how a model answers.

    Args:
        precision: in which the layers compute; bf16 is faster where the processor multiplies it natively.
        device: where to compute; auto takes the GPU where torch finds one.
    """

    precision: Literal["auto", "bf16", "fp32"] = "fp32"
    device: DeviceName = "auto"

    def flags(self) -> dict[str, bool]:
        """Tells of each flag whether it is set."""
        return {"precision": self.precision != "fp32", "device": self.device != "auto"}


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What a verb prints.

    Args:
        json: print one JSON document.
        quiet: print nothing but the result and errors.
    """

    json: bool = False
    quiet: bool = False


def refuse_flags(why: str, flags: Mapping[str, bool], *, hint: str | None = None) -> None:
    """Refuses flags that would have no effect.

    Args:
        why: the first half of the message.
        flags: name of each to whether it is set.
        hint: what to do, if not to leave it out.

    Raises:
        ConfigError: one is set; names it.
    """
    for name, is_set in flags.items():
        if is_set:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(f"{why}, so {flag} has no effect", hint=hint or f"leave {flag} out")


def refuse_both(*, quiet: bool, verbose: bool) -> None:
    """Refuses --quiet with --verbose.

    Raises:
        ConfigError: both are given.
    """
    if quiet and verbose:
        raise ConfigError("--quiet and --verbose contradict each other", hint="leave one of them out")
