"""Gives strings to a SavedModel with plain TensorFlow, and prints what it saw as JSON.

Run by tests/parity/test_saved_model_of_texts.py in an environment with TensorFlow; nothing of bertune is imported:

    python tests/parity/serve_strings_with_tensorflow.py SAVED_MODEL INSTANCES.json

Instances and predictions have the form of TensorFlow Serving's row format: an object for each row.
"""

import json
import sys
from pathlib import Path

import tensorflow as tf

FOLDER, INSTANCES = (Path(argument) for argument in sys.argv[1:3])


def plain(value):
    if isinstance(value, bytes):
        return value.decode()
    return [plain(item) for item in value] if isinstance(value, list) else value


def column(name, instances):
    return tf.constant([instance[name] for instance in instances], tf.string)


def main():
    loaded = tf.saved_model.load(str(FOLDER))
    serve = loaded.signatures["serving_default"]
    instances = json.loads(INSTANCES.read_text(encoding="utf-8"))
    names = sorted(serve.structured_input_signature[1])
    outputs = serve(**{name: column(name, instances) for name in names})
    rows = {name: plain(array.numpy().tolist()) for name, array in outputs.items()}
    uneven = ""
    if len(names) > 1:
        try:
            serve(**{name: tf.constant(["a"] * (1 + number)) for number, name in enumerate(names)})
        except tf.errors.InvalidArgumentError as error:
            uneven = str(error.message)
    graph = serve.graph.as_graph_def()
    operations = {node.op for node in graph.node} | {
        node.op for function in graph.library.function for node in function.node_def
    }
    seen = {
        "signatures": sorted(loaded.signatures),
        "inputs": {
            name: [spec.dtype.name, spec.shape.as_list()] for name, spec in serve.structured_input_signature[1].items()
        },
        "outputs": {name: [spec.dtype.name, spec.shape.as_list()] for name, spec in serve.structured_outputs.items()},
        "predictions": [{name: values[row] for name, values in rows.items()} for row in range(len(instances))],
        "no rows": {name: array.shape.as_list() for name, array in serve(**{n: column(n, []) for n in names}).items()},
        "uneven": uneven,
        "operations": sorted(operations),
        "modules": sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "bertune", "tensorflow_text"}),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
