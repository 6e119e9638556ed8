"""Serves a SavedModel with plain TensorFlow and prints what it saw as JSON.

Run by tests/parity/test_saved_model.py in an environment with TensorFlow; nothing of bertune is imported:

    python tests/parity/serve_with_tensorflow.py SAVED_MODEL INPUTS.npz OUTPUTS.npz
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

FOLDER, INPUTS, OUTPUTS = (Path(argument) for argument in sys.argv[1:4])
NAMES = ("input_word_ids", "input_mask", "input_type_ids")


def refused(serve, **changed):
    """Whether one row of three tokens is refused with these changes."""
    row = {"input_word_ids": [[1, 2, 3]], "input_mask": [[1, 1, 1]], "input_type_ids": [[0, 0, 1]]} | changed
    try:
        serve(**{name: tf.constant(values, tf.int32) for name, values in row.items()})
    except tf.errors.InvalidArgumentError as error:
        return str(error.message)
    return ""


def main():
    loaded = tf.saved_model.load(str(FOLDER))
    serve = loaded.signatures["serving_default"]
    stored = np.load(INPUTS)
    answers = {}
    for number in range(int(stored["batches"])):
        batch = {name: tf.constant(stored[f"{number}|{name}"]) for name in NAMES}
        for name, values in serve(**batch).items():
            answers[f"{number}|{name}"] = values.numpy()
    np.savez(OUTPUTS, **answers)
    longest = int(stored["max_positions"]) + 1
    ones = [[1] * longest]
    graph = serve.graph.as_graph_def()
    operations = {node.op for node in graph.node} | {
        node.op for function in graph.library.function for node in function.node_def
    }
    _, inputs = serve.structured_input_signature
    seen = {
        "inputs": {name: [spec.dtype.name, spec.shape.as_list()] for name, spec in inputs.items()},
        "outputs": {name: [spec.dtype.name, spec.shape.as_list()] for name, spec in serve.structured_outputs.items()},
        "operations": sorted(operations),
        "empty": serve(**{name: tf.zeros([0, 3], tf.int32) for name in NAMES})["logits"].shape.as_list(),
        "assets": sorted(path.name for path in (FOLDER / "assets").iterdir()),
        "modules": sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "bertune"}),
        "refused": {
            "id": refused(serve, input_word_ids=[[1, 2, 1_000_000]]),
            "negative id": refused(serve, input_word_ids=[[1, 2, -1]]),
            "type": refused(serve, input_type_ids=[[0, 0, 2]]),
            "mask": refused(serve, input_mask=[[1, 1, 2]]),
            "empty row": refused(serve, input_mask=[[0, 0, 0]]),
            "length": refused(serve, input_word_ids=ones, input_mask=ones, input_type_ids=ones),
        },
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
