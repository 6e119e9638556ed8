"""Whether a checkpoint fits an encoder: what may be missing, and the error where it does not fit."""

from collections.abc import Collection
from pathlib import Path

from torch import nn

from bertune.checkpoints.receipt import TensorRecord
from bertune.errors import CheckpointError


def new_record(name: str, parameter: nn.Parameter) -> TensorRecord:
    """Records a parameter that the checkpoint does not have and that was allowed to stay new."""
    return TensorRecord(name, "new", tuple(parameter.shape), "F32", reason="allowed by name; not in the checkpoint")


def is_allowed(name: str, allow_new: Collection[str]) -> bool:
    """Tells whether a parameter, or a beginning of its name, was allowed to be missing in the checkpoint."""
    return any(name == allowed or name.startswith(allowed + ".") for allowed in allow_new)


def raise_problems(path: Path, problems: list[str], total: int) -> None:
    """Refuses a checkpoint that does not fit.

    Raises:
        CheckpointError: there is a problem; shows the first five.
    """
    if not problems:
        return
    shown = "\n".join(f"  {problem}" for problem in problems[:5])
    more = f"\n  … and {len(problems) - 5} more" if len(problems) > 5 else ""
    verb = "differs" if len(problems) == 1 else "differ"
    raise CheckpointError(
        f"{path} does not fit this encoder: {len(problems)} of {total} tensors {verb}\n{shown}{more}",
        hint=_hint(problems),
    )


def _hint(problems: list[str]) -> str:
    if len(problems) == 1 and "embeddings.token.weight" in problems[0]:
        return "the vocabulary sizes differ; use the config.json and vocab.txt that came with this checkpoint"
    if all(problem.startswith("missing  pooler") for problem in problems):
        return "this checkpoint has no pooler: use --pooling mean, or --allow-new pooler to start with a new one"
    return "use the config.json that came with this checkpoint"
