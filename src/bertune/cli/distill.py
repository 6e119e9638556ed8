"""`bertune distill`: a training whose rows a fine-tuned model answers, too."""

from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from bertune.cli.distill_defaults import NO_MODEL
from bertune.cli.train import train
from bertune.errors import ConfigError
from bertune.experiments.seed_settings import SeedSettings
from bertune.training.checkpoint_settings import CheckpointSettings
from bertune.training.config import TrainingConfig
from bertune.training.run_settings import RunSettings


def distill(  # noqa: PLR0913 (as train)
    run: str,
    settings: Annotated[RunSettings, Parameter(name="*", consume_multiple=True)],
    config: Annotated[TrainingConfig, Parameter(name="*")] = TrainingConfig(),  # noqa: B008 (frozen)
    seeds: Annotated[SeedSettings, Parameter(name="*")] = SeedSettings(),  # noqa: B008 (frozen)
    checkpoints: Annotated[CheckpointSettings, Parameter(name="*")] = CheckpointSettings(),  # noqa: B008 (frozen)
    *,
    certify_resume: bool = False,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> None:
    """Train a small model on the answers of a large one, and on labels.

    The teacher answers all rows once, and its answers are kept in the folder of the run. The student has a tokenizer of
    its own, and may be of any family. Without --data the rows are those that the teacher was trained on. What is begun
    is a run like those of bertune train, with --teacher among its settings, and is resumed like them.

    Args:
        run: the teacher: a run, or the folder of a fine-tuned model.
        settings: what to read and write.
        config: how to train.
        seeds: whether to train several seeds, as one result.
        checkpoints: how the run is saved meanwhile.
        certify_resume: train once more, kill that run twice, resume it, and compare.
        json: print one JSON document with the result.
        quiet: print nothing but the result and errors.
        verbose: print more of the data, the encoder, how scores were found, and the score of every label.
    """
    if settings.teacher is not None:
        raise ConfigError(
            f"the teacher is named twice, {run} and --teacher {settings.teacher}", hint="leave --teacher out"
        )
    model = settings.model
    if model == NO_MODEL:
        if settings.keep_layers is None:
            raise ConfigError(
                "no student is named",
                hint="--model takes a small model, --keep-layers 0,2,4 these layers of the teacher",
            )
        model = run
    train(
        replace(settings, teacher=run, model=model),
        config,
        seeds,
        checkpoints=checkpoints,
        certify_resume=certify_resume,
        json=json,
        quiet=quiet,
        verbose=verbose,
    )
