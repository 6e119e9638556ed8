"""Ten steps of training from the same weights on the same batches of pairs, without dropout.

bertune restores all-MiniLM-L6-v2 and writes it as a TensorFlow checkpoint, from which the original starts. The original
clips the word embedding's gradient for each occurrence of a token (docs/concepts/optimizer.md), so four runs are
compared: with a clip that never acts, with one that acts at every step on a gradient made dense, with the same as the
original is, and with the lesson's clip of 1 as the original is.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from inputs import LESSON_RATE, MAX_LENGTH, pair_tables, uncased_vocabulary
from rows import Row, arrays_row
from weights import to_bertune

BATCH, STEPS, WARMUP = 32, 10, 1
INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
NEVER, TIGHT, LESSON = 1e9, 0.1, 1.0
RUNS = (
    (NEVER, False, "clip that never acts"),
    (TIGHT, True, "clip of 0.1, the original's gradient made dense"),
    (TIGHT, False, "clip of 0.1, the original as it is"),
    (LESSON, False, "clip of 1, the original as it is"),
)
LOSS_TOLERANCE, WEIGHT_TOLERANCE = 1e-5, 1e-6
# For the original as it is: where the clip acts its factor differs by up to a thousandth, which Adam divides out again
# but for epsilon and for what changes from step to step.
CLIPPED_LOSS_TOLERANCE, CLIPPED_WEIGHT_TOLERANCE = 1e-4, 1e-5


def ours(folder: Path) -> None:
    """Writes the start, the batches, and losses and weights of bertune's runs."""
    import torch

    from bertune.batches.batch import pack
    from bertune.checkpoints.restore import restore
    from bertune.checkpoints.tensorflow_writer import write_tf_checkpoint
    from bertune.models.bert import BertConfig
    from bertune.models.classifier import Classifier
    from bertune.models.encoder import Encoder
    from bertune.nn.losses import loss_of
    from bertune.optim.create import create_optimizer
    from bertune.tokenization.encode_texts import encode_examples, pad
    from bertune.tokenization.tokenizer import BertTokenizer

    model = uncased_vocabulary().parent
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "hidden_act": "gelu_tanh"}
    config = BertConfig.from_dict(BertConfig.from_json_file(model / "config.json").to_dict() | still)
    # Without model_type, and with Google's word for the tanh approximation, as in the original's files.
    sizes = {name: value for name, value in config.to_dict().items() if name not in ("layer_norm_eps", "pad_token_id")}
    (folder / "bert_config.json").write_text(json.dumps(sizes | {"hidden_act": "gelu"}))
    rows = pair_tables()[1]["train"][: BATCH * STEPS]
    texts = ([str(row[column]) for row in rows] for column in ("sentence1", "sentence2"))
    encoded = encode_examples(*texts, BertTokenizer(uncased_vocabulary()), MAX_LENGTH)
    labels = np.array([row["label"] for row in rows], np.int64)
    np.savez(folder / "batches.npz", **pad(encoded), label=labels)
    for clip in (NEVER, TIGHT, LESSON):
        torch.manual_seed(0)
        classifier = Classifier(Encoder.from_config(config), 2).train()
        restore(classifier.encoder, model).assert_consumed()
        write_tf_checkpoint(classifier, folder / "start")
        optimizer = create_optimizer(LESSON_RATE, STEPS, WARMUP, model=classifier, gradient_clip_norm=clip)
        losses, norms = [], []
        for at in range(0, len(rows), BATCH):
            batch = pack(encoded, np.arange(at, min(at + BATCH, len(rows))), labels)
            assert batch.targets is not None
            loss = loss_of(classifier(batch), batch.targets, kind="classification")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            norms.append(optimizer.last_gradient_norm)
        weights = {name: values.detach().numpy() for name, values in classifier.named_parameters()}
        np.savez(folder / f"ours-{clip:g}.npz", **weights)
        (folder / f"ours-{clip:g}.json").write_text(json.dumps({"losses": losses, "norms": norms}))


def compare(folder: Path) -> list[Row]:
    """The original's runs."""
    stored = np.load(folder / "batches.npz")
    name, found = pair_tables()[0], []
    for clip, dense, words in RUNS:
        about = json.loads((folder / f"ours-{clip:g}.json").read_text())
        losses, norms, before, after = _train(folder, stored, clip, dense)
        as_it_is = clip != NEVER and not dense
        moved = max(float(np.abs(after[key] - before[key]).max()) for key in before)
        clipped = sum(norm > clip for norm in norms)
        apart = max(abs(mine / norm - 1) for mine, norm in zip(about["norms"], norms, strict=True))
        rounds = (
            f"losses {losses[0]:.4f} to {losses[-1]:.4f}, norms {min(norms):.2f} to {max(norms):.2f}, "
            f"of which ours differ by at most {apart:.1e} of them; {clipped} of {STEPS} steps clipped"
        )
        ours = dict(np.load(folder / f"ours-{clip:g}.npz"))
        found += [
            arrays_row(
                f"{name}, {STEPS} batches of {BATCH}, {words}: losses",
                {"": np.array(about["losses"])},
                {"": np.array(losses)},
                CLIPPED_LOSS_TOLERANCE if as_it_is else LOSS_TOLERANCE,
                rounds,
            ),
            arrays_row(
                f"{words}: all weights after",
                ours,
                after,
                CLIPPED_WEIGHT_TOLERANCE if as_it_is else WEIGHT_TOLERANCE,
                f"the largest movement of a weight is {moved:.1e}"
                + (", the known difference of the clip; see docs/concepts/optimizer.md" if as_it_is else ""),
            ),
        ]
    return found


def _train(folder: Path, stored: Any, clip: float, dense: bool) -> tuple[list[float], list[float], Any, Any]:
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf
    import tf_keras
    from official.legacy.bert import bert_models, configs
    from official.nlp import optimization

    config = configs.BertConfig.from_json_file(str(folder / "bert_config.json"))
    classifier, _ = bert_models.classifier_model(config, 2)
    tf.train.Checkpoint(model=classifier).restore(str(folder / "start")).assert_consumed()
    before = to_bertune({variable.name: variable.numpy() for variable in classifier.variables})
    optimizer = optimization.create_optimizer(LESSON_RATE, STEPS, WARMUP)
    optimizer.gradient_clip_norm = clip
    loss_of = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    variables = classifier.trainable_variables

    @tf.function(reduce_retracing=True)
    def step(inputs: Any, labels: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            loss = loss_of(labels, classifier(inputs, training=True))
        gradients = tape.gradient(loss, variables)
        if dense:
            gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss, tf.linalg.global_norm(gradients)

    results = []
    for at in range(0, BATCH * STEPS, BATCH):
        inputs = {key: tf.constant(stored[key][at : at + BATCH]) for key in INPUTS}
        results.append([float(value) for value in step(inputs, tf.constant(stored["label"][at : at + BATCH]))])
    losses, norms = (list(column) for column in zip(*results, strict=True))
    return losses, norms, before, to_bertune({variable.name: variable.numpy() for variable in classifier.variables})
