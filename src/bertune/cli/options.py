"""The options that several verbs have, and the refusal of those that would have no effect."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bertune.data.read_options import ReadOptions
from bertune.errors import ConfigError
from bertune.nn.device import DeviceName
from bertune.system.shard_number import ShardNumber

if TYPE_CHECKING:
    from bertune.system.shard_work import ShardEngine


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


@dataclass(frozen=True, kw_only=True)
class SpreadOptions:
    """How work is spread over processes and machines.

    Args:
        shard: I/N, such as 0/4: make only the files of this process, the I-th of N, counted from 0 to N-1. Processes of
            a job array make one folder together, each the files that it alone would have made.
        engine: ray has the files made by a cluster of Ray (bertune[ray]).
        ray_address: of a running cluster, such as auto or 10.0.0.1:6379. Without it one is started on this machine.
        ray_actors: processes of the cluster at a time, by default as many as it has room for.
        ray_cpus: cores and threads of each of them.
    """

    shard: str | None = None
    engine: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    ray_actors: int | None = None
    ray_cpus: int = 1

    @property
    def is_spread(self) -> bool:
        """Whether not this process alone makes all files."""
        return self.shard is not None or self.engine == "ray"

    def number(self) -> ShardNumber | None:
        """Gives which process this is; None where it makes all files.

        Raises:
            ConfigError: there is no such one, or flags contradict each other.
        """
        if self.engine != "ray":
            flags = {
                "ray_address": self.ray_address is not None,
                "ray_actors": self.ray_actors is not None,
                "ray_cpus": self.ray_cpus != 1,
            }
            refuse_flags("without --engine ray no cluster is used", flags)
        elif self.shard is not None:
            raise ConfigError("--engine ray spreads all files itself", hint="leave --shard or --engine ray out")
        for name, value in {"--ray-actors": self.ray_actors, "--ray-cpus": self.ray_cpus}.items():
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, not {value}")
        return None if self.shard is None else ShardNumber.parse(self.shard)

    def open_engine(self) -> "AbstractContextManager[ShardEngine | None]":
        """Reaches or starts what makes the files; None where this process does.

        Raises:
            ConfigError: Ray is not installed, or a cluster cannot be reached.
        """
        if self.engine != "ray":
            return nullcontext()
        from bertune.system.ray_engine import RayEngine

        return RayEngine(address=self.ray_address, actors=self.ray_actors, cpus=self.ray_cpus)


@dataclass(frozen=True, kw_only=True)
class SpreadCompute(ComputeOptions, SpreadOptions):
    """Where and how a model answers, and over how many processes its work is spread."""


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


@dataclass(frozen=True)
class TrainOutput:
    """What a training prints.

    Args:
        json: one JSON document with the result.
        quiet: nothing but the result.
        verbose: more of it.
    """

    json: bool
    quiet: bool
    verbose: bool
