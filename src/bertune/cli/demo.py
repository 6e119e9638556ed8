"""`bertune demo`."""

from pathlib import Path


def demo(*, out: Path = Path("runs/demo"), model: str = "sentence-transformers/all-MiniLM-L6-v2") -> None:
    """Do the whole job on a small data set: audit, restore, train, score, predict, save, reload.

    Args:
        out: the folder of the run; an earlier demo in it is replaced.
        model: the encoder to start from.
    """
    from bertune.cli.demonstration import run_demo

    run_demo(out, model)
