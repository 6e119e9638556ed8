"""Encoders of every family at the sizes of released ones, beside transformers: hidden states, logits, one step.

    python -m benchmarks.family_parity --families RoBERTa DeBERTa-v2 --rows 300 --out NAME

transformers draws the weights, norms and biases too, and saves them; bertune restores the folder. Rows of random ids
have lengths from 1 to the limit (`--longest`), the short ones more frequent. Differences are the largest over all of
them, in float32 on both sides; of a training step without dropout, on the first `--step-rows` rows of at most 128
tokens, the loss's relative difference and the largest difference of a gradient relative to the largest entry of its
parameter's gradient. Both engines are measured where both compute a family. Writes NAME.json and NAME.md after each
family; started again, families that are there are not measured again.
"""

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from benchmarks.machine import machine, versions
from bertune.batches.batch import Batch, pack
from bertune.checkpoints.restore import restore
from bertune.kernels.build import NoKernelsError
from bertune.kernels.encoder_pass import KernelPass
from bertune.models.classifier import Classifier, classifier_model
from bertune.models.registry import read_config
from bertune.tokenization.encoded_examples import EncodedExamples, offsets_of

LABELS = 3
BATCH = 8
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
# The class in transformers and what its configuration has otherwise than the class's own defaults.
RELEASED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "BERT": ("bert-base-uncased", "Bert", STILL),
    "RoBERTa": (
        "roberta-base",
        "Roberta",
        {**STILL, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5},
    ),
    "XLM-RoBERTa": (
        "xlm-roberta-base",
        "XLMRoberta",
        {
            **STILL,
            "vocab_size": 250_002,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
        },
    ),
    "CamemBERT": (
        "camembert-base",
        "Camembert",
        {
            **STILL,
            "vocab_size": 32_005,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
        },
    ),
    "DistilBERT": (
        "distilbert-base-uncased",
        "DistilBert",
        {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0},
    ),
    "ELECTRA": ("electra-small-discriminator", "Electra", STILL),
    "MPNet": ("all-mpnet-base-v2", "MPNet", {**STILL, "max_position_embeddings": 514, "layer_norm_eps": 1e-5}),
    "ALBERT": (
        "albert-base-v2",
        "Albert",
        {
            **STILL,
            "hidden_size": 768,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "classifier_dropout_prob": 0.0,
        },
    ),
    "DeBERTa-v2": (
        "deberta-v3-base",
        "DebertaV2",
        {
            **STILL,
            "relative_attention": True,
            "position_biased_input": False,
            "pos_att_type": "p2c|c2p",
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "position_buckets": 256,
            "type_vocab_size": 0,
            "layer_norm_eps": 1e-7,
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
        },
    ),
    "ModernBERT": ("ModernBERT-base", "ModernBert", {}),
}


def drawn(name: str, values: dict[str, Any], folder: Path) -> Any:
    """Makes a classifier of transformers, with norms and biases that are not 1 and 0, and saves it."""
    config = getattr(transformers, f"{name}Config")(num_labels=LABELS, **values)
    torch.manual_seed(5)
    theirs = getattr(transformers, f"{name}ForSequenceClassification")(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    theirs.save_pretrained(folder)
    return theirs


def restored(theirs: Any, folder: Path) -> Classifier:
    """Restores the encoder from the folder, and takes the head over."""
    sizes = read_config(folder / "config.json")
    ours, encoder = classifier_model(sizes, LABELS, pooling=sizes.pooling, seed=1)
    restore(encoder, folder).assert_consumed()
    stored = dict(theirs.named_parameters())
    with torch.no_grad():
        for own, (name,) in encoder.family.head_names.rows.items():
            if name in stored:
                ours.get_parameter(own).copy_(stored[name])
    return ours.eval()


def rows_of(ours: Classifier, count: int, longest: int) -> EncodedExamples:
    """Draws rows of random ids, of lengths from 1 to the longest, both among them."""
    source = np.random.default_rng(2)
    config = ours.encoder.config
    longest = min(longest, config.max_positions)
    lengths = np.exp(source.uniform(0, np.log(longest + 1), count)).astype(np.int64).clip(1, longest)
    lengths[:2] = 1, longest
    ids = source.integers(5, config.vocab_size - 5, int(lengths.sum())).astype(np.int32)
    first = lengths if config.type_vocab_size < 2 else 1 + lengths // 2
    return EncodedExamples(ids, offsets_of(lengths), first.astype(np.int32), np.zeros(count, np.bool_), longest)


def batches(rows: EncodedExamples) -> Iterator[tuple[Batch, dict[str, Tensor]]]:
    """Yields batches of similar lengths, packed and as transformers takes them."""
    order = np.argsort(rows.lengths, kind="stable")
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        batch = pack(rows, chosen)
        yield batch, padded(batch)


def padded(batch: Batch) -> dict[str, Tensor]:
    lengths = batch.layout.lengths.tolist()
    shape = (len(lengths), max(lengths))
    given = {name: torch.zeros(shape, dtype=torch.long) for name in ("input_ids", "attention_mask", "token_type_ids")}
    parts = zip(batch.token_ids.split(lengths), batch.token_type_ids.split(lengths), strict=True)
    for row, (ids, types) in enumerate(parts):
        given["input_ids"][row, : len(ids)] = ids
        given["attention_mask"][row, : len(ids)] = 1
        given["token_type_ids"][row, : len(ids)] = types
    return given


def asked(theirs: Any, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leaves out types that the model does not take, and pads with its own id."""
    config = theirs.config
    ids = given["input_ids"].masked_fill(given["attention_mask"] == 0, config.pad_token_id)
    chosen = {"input_ids": ids, "attention_mask": given["attention_mask"]}
    if getattr(config, "type_vocab_size", 0) > 1:
        chosen["token_type_ids"] = given["token_type_ids"]
    return chosen


def engines_of(ours: Classifier) -> dict[str, KernelPass | None]:
    """Returns the engines that compute it; None stands for the modules."""
    found: dict[str, KernelPass | None] = {"torch": None}
    with suppress(NoKernelsError):
        found["kernels"] = KernelPass(ours.encoder, torch.float32)
    return found


def compared(theirs: Any, ours: Classifier, rows: EncodedExamples) -> dict[str, dict[str, float]]:
    """Returns of each engine the largest difference of a hidden state and of a logit, and transformers' seconds."""
    engines = engines_of(ours)
    found = {name: {"hidden": 0.0, "logits": 0.0} for name in engines}
    for batch, given in batches(rows):
        with torch.no_grad():
            answer = theirs(**asked(theirs, given), output_hidden_states=True)
            mask = given["attention_mask"].bool()
            body = theirs.base_model(**asked(theirs, given)).last_hidden_state[mask]
            for name, kernels in engines.items():
                hidden = ours.encoder.encode(batch) if kernels is None else kernels.forward(batch)
                first = hidden[batch.layout.first_tokens] if ours.first_only else hidden
                logits = ours.logits_of(first, batch.layout)
                worst = {"hidden": hidden - body, "logits": logits - answer.logits}
                for what, difference in worst.items():
                    found[name][what] = max(found[name][what], float(difference.abs().max()))
    return found


def step_compared(theirs: Any, ours: Classifier, rows: EncodedExamples) -> dict[str, dict[str, Any]]:
    """Returns of each engine how loss and gradients of one step differ."""
    batch = pack(rows, np.arange(len(rows)))
    targets = torch.arange(len(rows)) % LABELS
    theirs.zero_grad()
    loss = theirs(**asked(theirs, padded(batch)), labels=targets).loss
    loss.backward()
    stored = {name: value.grad for name, value in theirs.named_parameters() if value.grad is not None}
    family = ours.encoder.family
    found = {}
    for name, kernels in engines_of(ours).items():
        ours.zero_grad()
        gradients: dict[str, Tensor] = {}
        if kernels is None:
            own = F.cross_entropy(ours(batch), targets)
            own.backward()
        else:
            kernels.prepare_gradients()
            hidden = kernels.forward(batch, first_only=ours.first_only, keep=True).clone().requires_grad_()
            own = F.cross_entropy(ours.logits_of(hidden, batch.layout), targets)
            own.backward()
            assert hidden.grad is not None
            kernels.backward(hidden.grad)
            gradients = {f"encoder.{key}": value.float() for key, value in kernels.gradients.items()}
            table = kernels.token_gradient
            assert table is not None
            whole = torch.zeros_like(ours.encoder.input_embeddings.weight)
            whole[torch.from_numpy(table.touched).long()] = table.values.float()
            gradients["encoder.embeddings.token.weight"] = whole
        gradients |= {key: value.grad for key, value in ours.named_parameters() if value.grad is not None}
        worst, where = 0.0, ""
        for key, gradient in gradients.items():
            inner = key.removeprefix("encoder.")
            names = (
                family.head_names.rows[key]
                if key in family.head_names.rows
                else tuple(family.prefix + part for part in family.names.stored_names(inner))
            )
            if any(part not in stored for part in names):
                continue
            expected = torch.cat([stored[part] for part in names])
            if key.endswith("qkv.bias"):  # a key's bias has no gradient but rounding: softmax takes it out
                found_ones, expected = (each.view(3, -1)[[0, 2]] for each in (gradient, expected))
            else:
                found_ones = gradient
            share = float((found_ones - expected).abs().max() / expected.abs().max())
            if share > worst:
                worst, where = share, key
        found[name] = {"loss": abs(own.item() / loss.item() - 1), "gradient": worst, "gradient_of": where}
    return found


def measure(family: str, options: argparse.Namespace) -> dict[str, Any]:
    title, name, values = RELEASED[family]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        theirs = drawn(name, values, Path(folder))
        ours = restored(theirs, Path(folder))
    assert ours.encoder.family.name == family
    rows = rows_of(ours, options.rows, options.longest)
    differences = compared(theirs, ours, rows)
    short = np.flatnonzero(rows.lengths <= 128)[: options.step_rows]
    steps = step_compared(theirs, ours, rows.take(short))
    return {
        "family": family,
        "sizes_of": title,
        "parameters": sum(value.numel() for value in ours.encoder.parameters()),
        "rows": len(rows),
        "longest": int(rows.lengths.max()),
        "tokens": int(rows.lengths.sum()),
        "engines": {name: differences[name] | steps[name] for name in differences},
        "seconds": time.perf_counter() - began,
    }


def write(results: list[dict[str, Any]], out: Path) -> None:
    about = {"machine": machine(), "versions": versions("bertune", "torch", "transformers", "numpy")}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_name(f"{out.name}.json").write_text(json.dumps(about | {"families": results}, indent=1) + "\n", "utf-8")
    lines = [
        "# Families at the sizes of released encoders, beside transformers",
        "",
        "Random weights drawn by transformers, float32. Largest differences; of gradients relative to the largest",
        "entry of the parameter's gradient.",
        "",
        "| family | sizes of | rows, tokens, longest | engine | hidden states | logits | loss of a step | gradients |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        for engine, found in result["engines"].items():
            lines.append(
                f"| {result['family']} | {result['sizes_of']} | {result['rows']}, {result['tokens']:,}, "
                f"{result['longest']:,} | {engine} | {found['hidden']:.1e} | {found['logits']:.1e} "
                f"| {found['loss']:.1e} | {found['gradient']:.1e} |"
            )
    told = ", ".join(f"{name} {value}" for part in about.values() for name, value in part.items())
    out.with_name(f"{out.name}.md").write_text("\n".join([*lines, "", told, ""]), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", choices=RELEASED, default=list(RELEASED))
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--longest", type=int, default=512)
    parser.add_argument("--step-rows", type=int, default=8)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    path = options.out.with_name(f"{options.out.name}.json")
    results = json.loads(path.read_text("utf-8"))["families"] if path.is_file() else []
    for family in options.families:
        if any(result["family"] == family for result in results):
            continue
        results.append(measure(family, options))
        write(results, options.out)
        print(results[-1], flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
