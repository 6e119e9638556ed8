"""What the modes of --long-text cost and give on a planted task: the last sentence of a long text decides.

    python -m benchmarks.long_texts --out NAME

The texts are questions of the demo's data one after another, and at the end a sentence that says whether the customer
was content. It is made to show what becomes of the end of a text, and says nothing about texts of another kind.
"""

import argparse
import csv
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import machine, versions
from bertune.data.demo_data import demo_folder
from bertune.training.config import TrainingConfig
from bertune.training.prepare import prepare
from bertune.training.run import execute
from bertune.training.run_settings import RunSettings

RESULTS = Path(__file__).parent / "results"
CONTENT = ["Thank you, that solved it.", "Great service, I am happy now.", "It works well, many thanks."]
NOT_CONTENT = ["This did not help at all.", "I am still waiting and annoyed.", "It is broken again, how sad."]
MODES: dict[str, dict[str, Any]] = {
    "first": {},
    "head-tail": {"long_text": "head-tail"},
    "windows": {"long_text": "windows"},
    "windows without overlap": {"long_text": "windows", "window_stride": 62},
}
MAX_LENGTH = 64


def write_table(path: Path, questions: list[str], rows: int, seed: int) -> None:
    source = random.Random(seed)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for _ in range(rows):
            label = source.choice(["content", "not content"])
            end = source.choice(CONTENT if label == "content" else NOT_CONTENT)
            writer.writerow([" ".join([*source.sample(questions, source.randint(6, 12)), end]), label])


def measure(folder: Path, mode: str, model: str, epochs: int) -> dict[str, Any]:
    settings = RunSettings(
        data=str(folder), out=folder / mode.replace(" ", "-"), text_a="text", label="label", model=model,
        max_length=MAX_LENGTH, **MODES[mode],
    )  # fmt: skip
    config = TrainingConfig(recipe="lesson", epochs=epochs, batch_size=8, learning_rate=1e-4, seed=1)
    prepared = prepare(settings, config, say=print)
    finished = execute(prepared)
    assert finished.best.scores is not None
    encoded = prepared.train.encoded
    return {
        "mode": mode,
        "tokens_of_an_example": len(encoded.token_ids) / len(encoded),
        "sequences_of_an_example": len(encoded.sequences) / len(encoded),
        "over_length": prepared.long_texts["train"].over_length / len(encoded),
        "accuracy": finished.best.scores.value("accuracy"),
        "lines": finished.best.scores.lines()[:1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="name of the result files in benchmarks/results")
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--rows", type=int, default=240)
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    with (demo_folder() / "train.csv").open(newline="", encoding="utf-8") as stream:
        questions = sorted({row["question1"] for row in csv.DictReader(stream)})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_table(folder / "train.csv", questions, arguments.rows, 1)
        write_table(folder / "validation.csv", questions, 200, 2)
        results = [measure(folder, mode, arguments.model, arguments.epochs) for mode in MODES]
    lines = [
        "| mode | sequences of an example | tokens of an example | validation accuracy |",
        "|---|---|---|---|",
        *(
            f"| {row['mode']} | {row['sequences_of_an_example']:.1f} | {row['tokens_of_an_example']:.0f} "
            f"| {100 * row['accuracy']:.1f} % |"
            for row in results
        ),
    ]
    values = {
        "arguments": vars(arguments),
        "max_length": MAX_LENGTH,
        "machine": machine(),
        "versions": versions("torch", "bertune"),
    }
    values["results"] = results
    (RESULTS / f"{arguments.out}.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    (RESULTS / f"{arguments.out}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
