"""Constants and tables of the small world in which the command line is tested."""

import csv
import json
import random
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from bertune.models.bert import BERT, BertConfig
from bertune.models.encoder import Encoder

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
GOOD = ["good", "fine", "great", "lovely", "nice"]
BAD = ["bad", "poor", "awful", "weak", "sad"]
OTHER = ["the", "film", "was", "plot", "a", "music", "very", "and", "story", "actor"]

Run = Callable[..., subprocess.CompletedProcess[str]]


COLUMNS = ["--text-a", "first", "--label", "mood"]
TRAINING = ["--epochs", "4", "--learning-rate", "3e-3", "--batch-size", "16", "--max-length", "32"]


def sentence(source: random.Random, words: Sequence[str]) -> str:
    chosen = [*source.sample(OTHER, 4), source.choice(words)]
    source.shuffle(chosen)
    return " ".join(chosen)


def write_table(path: Path, rows: int, seed: int, *, pairs: bool = False) -> Path:
    """Writes rows whose label is told by one word; for pairs, whether both texts have the same mood."""
    source = random.Random(seed)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "first", "second", "mood"] if pairs else ["id", "first", "mood"])
        for row in range(rows):
            moods = [source.choice([GOOD, BAD]) for _ in range(2 if pairs else 1)]
            label = ("same" if moods[0] is moods[1] else "other") if pairs else ("up" if moods[0] is GOOD else "down")
            writer.writerow([row, *(sentence(source, mood) for mood in moods), label])
    return path


def write_encoder(folder: Path, words: Sequence[str], *, heads: int = 4) -> Path:
    """Writes a 2-layer, 32-wide encoder as transformers lays it out; compiled kernels take one of two heads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=heads,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **config.to_dict()}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    torch.manual_seed(0)
    tensors = {}
    for name, parameter in Encoder.from_config(config).named_parameters():
        targets = BERT.names.stored_names(name)
        parts = parameter.detach().chunk(len(targets))
        tensors |= {target: part.clone() for target, part in zip(targets, parts, strict=True)}
    save_file(tensors, folder / "model.safetensors")
    return folder
