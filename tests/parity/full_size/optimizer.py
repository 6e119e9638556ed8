"""Twenty steps of AdamWeightDecay on all weights of a BERT-base classifier, with the same gradients on both sides."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from inputs import LESSON_RATE
from rows import Row, arrays_row, equal_row
from weights import Gradients, to_bertune

STEPS, WARMUP = 20, 2
# init_lr, num_train_steps, num_warmup_steps, end_lr, optimizer_type, beta_1, poly_power
SCHEDULES: dict[str, tuple[Any, ...]] = {
    "the lesson on MRPC, 342 steps, 34 of warm-up": (LESSON_RATE, 342, 34),
    "an epoch more and no warm-up": (LESSON_RATE, 457, 0),
    "SST-2, 6,312 steps, 631 of warm-up": (3e-5, 6312, 631),
    "power 2 to an end rate": (1e-4, 500, 50, 1e-6, "adamw", 0.9, 2.0),
}
# A unit in the last place of the largest weights, which are between 1 and 2, is 1.2e-7.
TOLERANCE = 1e-6


def original(folder: Path) -> None:
    """Writes the variables before and after, and every rate of every schedule."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf
    from official.legacy.bert import bert_models
    from official.nlp import optimization
    from original import config_of, randomize

    rates = {}
    for name, arguments in SCHEDULES.items():
        schedule = optimization.create_optimizer(*arguments).learning_rate
        rates[name] = np.array([float(schedule(step)) for step in range(arguments[1] + 10)], np.float32)
    np.savez(folder / "rates.npz", **rates)
    classifier, _ = bert_models.classifier_model(config_of(), 2)
    randomize(classifier, 6)
    variables = classifier.trainable_variables
    np.savez(folder / "before.npz", **{variable.name: variable.numpy() for variable in variables})
    shapes = {variable.name: tuple(variable.shape) for variable in variables}
    optimizer, gradients = optimization.create_optimizer(LESSON_RATE, STEPS, WARMUP), Gradients()
    norms = []
    for step in range(STEPS):
        made = gradients.of(shapes, step)
        norms.append(float(tf.linalg.global_norm([tf.constant(values) for values in made.values()])))
        optimizer.apply_gradients((tf.constant(made[variable.name]), variable) for variable in variables)
    np.savez(folder / "after.npz", **{variable.name: variable.numpy() for variable in variables})
    np.savez(folder / "norms.npz", norms=np.array(norms))


def compare(folder: Path) -> list[Row]:
    """The same steps by bertune."""
    import torch

    from bertune.models.bert import BertConfig
    from bertune.models.classifier import Classifier
    from bertune.models.encoder import Encoder
    from bertune.optim.create import create_optimizer, create_schedule

    rates = np.load(folder / "rates.npz")
    found = []
    for name, (rate, steps, warmup, *rest) in SCHEDULES.items():
        schedule = create_schedule(rate, steps, warmup, *rest[:1], *rest[3:])
        ours = np.array([schedule(step) for step in range(steps + 10)], np.float32)
        found.append(equal_row(f"learning rates, to the bit: {name}", ours.tolist(), rates[name].tolist()))
    before, after = dict(np.load(folder / "before.npz")), dict(np.load(folder / "after.npz"))
    shapes = {name: values.shape for name, values in before.items()}
    classifier = Classifier(Encoder.from_config(BertConfig()), 2)
    classifier.load_state_dict({name: torch.from_numpy(values) for name, values in to_bertune(before).items()})
    optimizer, gradients = create_optimizer(LESSON_RATE, STEPS, WARMUP, model=classifier), Gradients()
    parameters, norms = dict(classifier.named_parameters()), []
    for step in range(STEPS):
        for name, values in to_bertune(gradients.of(shapes, step)).items():
            parameters[name].grad = torch.from_numpy(np.array(values, order="C"))
        optimizer.step()
        norms.append(optimizer.last_gradient_norm)
    moved = max(float(np.abs(after[name] - before[name]).max()) for name in before)
    ours = {name: values.detach().numpy() for name, values in parameters.items()}
    note = f"the largest movement of a weight is {moved:.1e}; the norms are {min(norms):.2f} to {max(norms):.2f}"
    theirs = np.load(folder / "norms.npz")["norms"]
    return [
        *found,
        arrays_row("norms of the gradients", {"": np.array(norms)}, {"": theirs}, 1e-5),
        arrays_row(f"all weights after {STEPS} steps, clipped every third", ours, to_bertune(after), TOLERANCE, note),
    ]
