"""The fixed workload, as every worker reads it. Needs numpy alone: workers run in environments without bertune."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Texts:
    """Pairs with their labels."""

    first: list[str]
    second: list[str]
    labels: list[int]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Workload:
    """What all systems are given.

    Args:
        folder: where it lies; `model` in it is the one folder of initial weights, head included.
        settings: sizes and hyper-parameters by name.
        train: examples, as many as fill whole batches.
        test: examples to predict.
        order: (epochs, examples) the shared order of the training examples.
    """

    folder: Path
    settings: dict[str, Any]
    train: Texts
    test: Texts
    order: NDArray[np.int64]

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def batch_size(self) -> int:
        return int(self.settings["batch_size"])

    @property
    def total_steps(self) -> int:
        return self.order.size // self.batch_size

    @property
    def warmup_steps(self) -> int:
        return int(self.total_steps * self.settings["warmup_fraction"])

    def batches(self) -> NDArray[np.int64]:
        """Returns (steps, batch_size) indices of training examples."""
        return self.order.reshape(-1, self.batch_size)

    def tokens_of(self, batches: NDArray[np.int64]) -> list[int]:
        """Returns the real tokens of each batch."""
        return [int(count) for count in self.train.lengths[batches].sum(axis=1)]

    def check_lengths(self, lengths: NDArray[np.int64] | list[int], name: str) -> None:
        """Refuses a tokenizer that made other tokens: its system would do other work.

        Raises:
            ValueError: says how many examples differ.
        """
        expected = (self.train if name == "train" else self.test).lengths
        wrong = np.flatnonzero(np.asarray(lengths) != expected)
        if len(wrong):
            raise ValueError(f"{len(wrong)} of {len(expected)} {name} examples have other lengths, first {wrong[0]}")


def read_workload(folder: Path) -> Workload:
    """Reads what `make_workload` wrote."""
    texts = json.loads((folder / "texts.json").read_text("utf-8"))
    arrays = np.load(folder / "arrays.npz")
    splits = {
        name: Texts(texts[name]["first"], texts[name]["second"], texts[name]["labels"], arrays[f"{name}_lengths"])
        for name in ("train", "test")
    }
    settings = json.loads((folder / "workload.json").read_text("utf-8"))
    return Workload(folder, settings, splits["train"], splits["test"], arrays["order"])


def cross_entropy(logits: Any, labels: Any) -> float:
    """Returns the mean loss of logits, (examples, labels), in float64."""
    values = np.asarray(logits, dtype=np.float64)
    values = values - values.max(axis=1, keepdims=True)
    chosen = values[np.arange(len(values)), np.asarray(labels)]
    return float((np.log(np.exp(values).sum(axis=1)) - chosen).mean())


def spread_evenly(count: int) -> NDArray[np.int64]:
    """Returns an order of 0..count-1 in which any stretch samples the whole range evenly.

    Batches sorted by length are visited in it, so that each round's slice has the same mix of lengths.
    """
    golden = (np.sqrt(5) - 1) / 2
    return np.argsort(np.argsort((np.arange(count) * golden) % 1))
