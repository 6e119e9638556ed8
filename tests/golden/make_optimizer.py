"""Makes optimizer.npz: schedules and parameters as tf-models-official 2.20.0 computes them.

Run in an environment with tf-models-official 2.20.0 and its TensorFlow:

    TF_USE_LEGACY_KERAS=1 python tests/golden/make_optimizer.py
"""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tf_keras
from official.nlp import optimization

OUT = Path(__file__).parent / "optimizer.npz"
STORED_STEPS = (1, 2, 10, 50, 200)
# Named as in the original's encoder; ours are called otherwise, and the test maps them.
SHAPES = {
    "word_embeddings/embeddings": (7, 6),
    "transformer/layer_0/self_attention/query/kernel": (6, 5),
    "transformer/layer_0/self_attention/query/bias": (5,),
    "transformer/layer_0/self_attention_layer_norm/gamma": (5,),
    "LayerNorm/beta": (5,),
}
# init_lr, num_train_steps, num_warmup_steps, end_lr, optimizer_type, beta_1, poly_power
CASES = {
    "lesson": (2e-5, 200, 20, 0.0, "adamw", 0.9, 1.0),
    "large_rate": (1e-2, 200, 20, 0.0, "adamw", 0.9, 1.0),
    "no_warmup": (1e-2, 200, 0, 0.0, "adamw", 0.9, 1.0),
    "power_2": (1e-2, 200, 20, 1e-3, "adamw", 0.8, 2.0),
}
# init, decay_steps, end, power, cycle; then warm-up's steps and power (None: decay alone); then how many steps.
SCHEDULES = {
    "page": ((1.0, 10, 0.0, 1.0, False), (4, 1.0), 12),
    "defaults": ((2e-5, 343, 0.0001, 1.0, False), None, 400),
    "lesson": ((2e-5, 343, 0.0, 1.0, False), (34, 1.0), 400),
    "cycle": ((3e-5, 50, 1e-6, 1.0, True), (5, 1.0), 260),
    "square": ((3e-5, 120, 1e-6, 2.0, False), (12, 2.0), 130),
    "root": ((3e-5, 120, 1e-6, 0.5, False), (12, 0.5), 130),
}


def start(index, shape):
    """Initial values in [-1, 1], from integers alone so that every machine has the same."""
    count = int(np.prod(shape))
    numbers = (np.arange(count, dtype=np.int64) * 7919 + index * 104729) % 2003
    return (numbers / 1001.0 - 1.0).astype(np.float32).reshape(shape)


def gradient(index, shape, step):
    """Gradients from integers alone: large every third step (clipped), small otherwise; some tiny, some zero."""
    count = int(np.prod(shape))
    numbers = (np.arange(count, dtype=np.int64) * 7919 + index * 104729 + step * 15485863) % 2003
    values = (numbers / 1001.0 - 1.0) * (10.0 if step % 3 == 0 else 0.05)
    values[::4] *= 1e-6  # here epsilon outweighs sqrt(v)
    values[1::11] = 0.0
    return values.astype(np.float32).reshape(shape)


def trajectory(name, arguments, out):
    optimizer = optimization.create_optimizer(*arguments)
    variables = [tf.Variable(start(i, shape), name=n) for i, (n, shape) in enumerate(SHAPES.items())]
    norms = []
    for step in range(STORED_STEPS[-1]):
        gradients = [tf.constant(gradient(i, shape, step)) for i, shape in enumerate(SHAPES.values())]
        norms.append(float(tf.linalg.global_norm(gradients)))
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        if step + 1 in STORED_STEPS:
            for variable_name, variable in zip(SHAPES, variables, strict=True):
                out[f"{name}|{variable_name}|{step + 1}"] = variable.numpy()
    out[f"{name}|norms"] = np.array(norms, np.float32)
    out[f"{name}|rates"] = np.array([float(optimizer.learning_rate(t)) for t in range(STORED_STEPS[-1])], np.float32)


def repeated_token(out):
    """One step on an embedding whose gradient names one row twice, as a sentence with a repeated word makes it."""
    variable = tf.Variable(start(0, (7, 6)), name="word_embeddings/embeddings")
    optimizer = optimization.AdamWeightDecay(learning_rate=1e-2, epsilon=1e-6)
    values = np.full((3, 6), 0.9, np.float32)
    optimizer.apply_gradients([(tf.IndexedSlices(tf.constant(values), tf.constant([2, 2, 5]), (7, 6)), variable)])
    out["repeated_token|m"] = optimizer.get_slot(variable, "m").numpy()


def main():
    out = {}
    for name, arguments in CASES.items():
        trajectory(name, arguments, out)
    repeated_token(out)
    for name, (decay, warmup, steps) in SCHEDULES.items():
        initial, decay_steps, end, power, cycle = decay
        schedule = tf_keras.optimizers.schedules.PolynomialDecay(initial, decay_steps, end, power, cycle)
        if warmup is not None:
            schedule = optimization.WarmUp(initial, schedule, warmup[0], warmup[1])
        out[f"schedule|{name}"] = np.array([float(schedule(t)) for t in range(steps)], np.float32)
    provenance = {
        "made_by": "tests/golden/make_optimizer.py",
        "command": "TF_USE_LEGACY_KERAS=1 python tests/golden/make_optimizer.py",
        "packages": {p: version(p) for p in ("tf-models-official", "tensorflow", "tf_keras", "numpy")},
        "python": platform.python_version(),
        "tolerance": {"parameters": 1e-6, "rates_relative": 1e-7},
        "stored_steps": STORED_STEPS,
        "shapes": SHAPES,
        "cases": CASES,
        "schedules": SCHEDULES,
    }
    out["provenance"] = np.array(json.dumps(provenance))
    np.savez_compressed(OUT, **out)


if __name__ == "__main__":
    main()
