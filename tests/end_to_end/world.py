"""Constants and tables of the small world in which the command line is tested."""

import csv
import random
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

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
