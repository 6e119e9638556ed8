"""The flags by which `bertune export` names the texts of its proof."""

from dataclasses import dataclass

from bertune.cli.options import DataOptions


@dataclass(frozen=True, kw_only=True)
class ProofOptions(DataOptions):
    """Which texts the proof is made on.

    Args:
        data: a table, a folder with splits, or hf://datasets/…; without it, the questions of the demo.
        split: which split of a folder, by default test.
    """
