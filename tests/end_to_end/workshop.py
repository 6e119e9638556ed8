"""A folder in which the commands of README and guides can be run as they are written."""

import csv
import random
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.end_to_end.world import BAD, GOOD, OTHER, SPECIAL, Run, sentence, write_encoder

QUESTIONS = Path(__file__).parents[2] / "examples" / "data"
TOPICS = {"billing": "invoice", "delivery": "parcel", "login": "password"}
ENCODERS = ("bert-base-uncased", "sentence-transformers/all-MiniLM-L6-v2")
PAIRED = ["--text-a", "question1", "--text-b", "question2", "--label", "label"]


def make_workshop(folder: Path, run: Run) -> Path:
    """Writes the tables, encoders and runs that guides speak of, all small.

    The encoders have the names of real ones, so that commands need not be changed; `variables` names one where a
    command leaves it out.
    """
    source = random.Random(5)
    questions = {split: _rows_of(QUESTIONS / f"{split}.csv")[:count] for split, count in SIZES.items()}
    for split, rows in questions.items():
        _write(folder / "examples" / "data" / f"{split}.csv", ("question1", "question2", "label"), rows)
        _write(folder / "faq" / f"{split}.csv", ("question1", "question2", "label"), rows)
    names = ("question1", "question2", "duplicate")
    _write(folder / "train.csv", names, questions["train"])
    pairs = [row[:2] for row in questions["test"][:3]]
    lines = ["\t".join(pair) for pair in [["question1", "question2"], *pairs]]
    (folder / "pairs.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    moods = [(sentence(source, words), label) for words, label in [(GOOD, "good"), (BAD, "bad")] * 60]
    # A file called test.csv is spoken of beside the pairs and beside the reviews.
    both = [(*pair, *mood) for pair, mood in zip(questions["test"], moods, strict=False)]
    _write(folder / "test.csv", (*names, "text", "label"), both)
    for name, count in (("reviews", 120), ("more", 30)):
        _write(folder / f"{name}.csv", ("text", "label", "stars"), [(t, label, label) for t, label in moods[:count]])
    (folder / "texts.txt").write_text("".join(f"{text}\n" for text, _ in moods))
    (folder / "labels.txt").write_text("".join(f"{label}\n" for _, label in moods))
    (folder / "semi.csv").write_text("text;label\n" + "".join(f"{text};{label}\n" for text, label in moods[:20]))
    for split, count in SIZES.items():
        rows = []
        for row in range(count):
            topics = source.sample(sorted(TOPICS), 1 + row % 2)
            rows.append((f"my {' and '.join(TOPICS[each] for each in topics)} was bad", ";".join(sorted(topics))))
        _write(folder / "tickets" / f"{split}.csv", ("text", "topics"), rows)
        same = [(row[0], row[1], "1" if row[2] == "duplicate" else "0") for row in questions[split]]
        _write_mrpc(folder / "glue" / "MRPC" / f"{split.replace('validation', 'dev')}.tsv", same)
    for name in ENCODERS:
        write_encoder(folder / name, _words_of(folder.rglob("*.csv")))
    for name, seed in (("q", 1), ("a", 2), ("b", 3), ("s1", 4), ("s2", 5)):
        out = folder / "runs" / name
        where = ["--data", str(folder / "examples" / "data"), *PAIRED, "--out", str(out), "--seed", str(seed)]
        done = run("train", *where, **variables(folder, ["train"]))
        assert done.returncode == 0, done.stderr
    shutil.copytree(folder / "runs" / "q", folder / "runs" / "mrpc")
    return folder


SIZES = {"train": 120, "validation": 60, "test": 40}


def variables(folder: Path, words: Sequence[str]) -> dict[str, str]:
    """What a command needs to be quick, and to find an encoder where it names none. Flags win over them."""
    model = str(folder / ENCODERS[0])
    chosen = {"BERTUNE_TRAIN_MODEL": model, "BERTUNE_TRAIN_EPOCHS": "1"}
    if words[0] == "inspect" and "--text-a" in words:
        chosen["BERTUNE_INSPECT_MODEL"] = model
    return chosen


def _rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))[1:]


def _write(path: Path, names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([names, *rows])


def _write_mrpc(path: Path, rows: Iterable[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"]
    lines += [
        f"{label}\t{place}\t{place + 1000}\t{first}\t{second}" for place, (first, second, label) in enumerate(rows)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _words_of(tables: Iterable[Path]) -> list[str]:
    words = {word for table in tables for word in re.findall(r"\w+|[^\w\s]", table.read_text("utf-8").lower())}
    return [*SPECIAL, *sorted(words | {*GOOD, *BAD, *OTHER})]
