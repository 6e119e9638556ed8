"""The inputs of the proof: tables and tiny encoders, made without bertune, whose modules a refactor moves."""

import csv
import json
import random
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
GOOD = ("good", "fine", "nice", "great")
BAD = ("bad", "poor", "awful", "dull")
OTHER = ("the", "film", "was", "a", "story", "and", "very", "slow", "##ly", "end", "##ing", "music", ",", ".")
WORDS = (*SPECIAL, *GOOD, *BAD, *OTHER)


def write_inputs(folder: Path) -> None:
    """Writes everything that the steps read.

    Args:
        folder: an empty one.
    """
    for split, rows, seed in (("train", 200, 1), ("validation", 80, 2), ("test", 60, 3)):
        _write_rows(folder, split, rows, seed)
    # Kernels take heads of 16 numbers at least, and hidden sizes that are multiples of 16.
    write_encoder(folder / "encoder", hidden=64, heads=4, seed=4)
    write_encoder(folder / "other", hidden=32, heads=2, seed=5)


def _write_rows(folder: Path, split: str, rows: int, seed: int) -> None:
    """Writes a table of each kind: single texts, pairs, several labels, values and long texts."""
    source = random.Random(seed)
    for name in ("single", "pairs", "several", "values", "long"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    single, pairs, long = ([["id", "first", "mood"]], [["first", "second", "same"]], [["text", "mood"]])
    several, values = [], [["text", "target"]]
    for row in range(rows):
        moods = [source.choice((GOOD, BAD)) for _ in range(2)]
        texts = [_sentence(source, mood, 6) for mood in moods]
        names = ["up" if mood is GOOD else "down" for mood in moods]
        single.append([str(row), texts[0], names[0]])
        pairs.append([*texts, "same" if moods[0] is moods[1] else "other"])
        several.append({"text": " ".join(texts), "labels": sorted(set(names))})
        values.append([" ".join(texts), f"{names.count('up') / 2 + source.random() / 10:.3f}"])
        long.append([_sentence(source, moods[0], source.randint(20, 90)), names[0]])
    for name, table in (("single", single), ("pairs", pairs), ("values", values), ("long", long)):
        with (folder / name / f"{split}.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows(table)
    lines = "".join(json.dumps(record) + "\n" for record in several)
    (folder / "several" / f"{split}.jsonl").write_text(lines)


def _sentence(source: random.Random, mood: tuple[str, ...], length: int) -> str:
    words = [*source.choices([word for word in OTHER if not word.startswith("##")], k=length), source.choice(mood)]
    source.shuffle(words)
    return " ".join(words)


def write_encoder(folder: Path, *, hidden: int, heads: int, seed: int) -> None:
    """Writes a BERT of two layers with random weights, as transformers lays one out."""
    folder.mkdir()
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    sizes = {
        "vocab_size": len(WORDS),
        "hidden_size": hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": heads,
        "intermediate_size": 2 * hidden,
        "max_position_embeddings": 128,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
    }
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **sizes}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), hidden),
        "embeddings.position_embeddings.weight": (128, hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
        **_norm("embeddings.LayerNorm", hidden),
        **_dense("pooler.dense", hidden, hidden),
    }
    for layer in range(2):
        name = f"encoder.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= _dense(f"{name}.{part}", hidden, hidden)
        shapes |= _norm(f"{name}.attention.output.LayerNorm", hidden) | _norm(f"{name}.output.LayerNorm", hidden)
        shapes |= _dense(f"{name}.intermediate.dense", 2 * hidden, hidden)
        shapes |= _dense(f"{name}.output.dense", hidden, 2 * hidden)
    numbers = np.random.default_rng(seed)
    tensors = {name: numbers.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}
    for name in tensors:
        if name.endswith("LayerNorm.weight"):
            tensors[name] += 1
    save_file(tensors, folder / "model.safetensors")


def _dense(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}
