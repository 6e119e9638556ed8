"""Draws the pictures of docs/guides/pictures.md: `python examples/pictures.py [FOLDER]`.

Needs the small encoder that `make demo` installs, for its sizes and its vocabulary.
"""

import sys
from pathlib import Path

import torch

import bertune

ROOT = Path(__file__).parents[1]
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


def draw_all(folder: Path) -> None:
    """Draws the model, its inputs and three schedules."""
    source = bertune.resolve_model(ENCODER)
    config = bertune.BertConfig.from_json_file(source / "config.json")
    with torch.device("meta"):  # only sizes are drawn, so no memory is needed for weights
        classifier, _ = bertune.classifier_model(config, num_labels=2)
    bertune.plot_model(classifier, folder / "model.svg")

    tokenizer = bertune.BertTokenizer(source / "vocab.txt", do_lower_case=True)
    columns = bertune.Columns("question1", "question2", "label")
    train = bertune.read_examples(ROOT / "examples" / "data" / "train.csv", columns)
    texts = {"sentence1": train.texts_a[:32], "sentence2": train.texts_b[:32]}
    bertune.plot_inputs(bertune.bert_encode(texts, tokenizer), folder / "inputs.svg")

    decay = bertune.PolynomialDecay(2e-5, decay_steps=345, end_learning_rate=0)
    schedules = {
        "decay alone": decay,
        "the lesson's": bertune.WarmUp(2e-5, decay, warmup_steps=34),
        "squared rise": bertune.WarmUp(2e-5, decay, warmup_steps=115, power=2),
    }
    bertune.plot_schedule(schedules, 345, folder / "schedules.svg")


if __name__ == "__main__":
    draw_all(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "guides" / "pictures")
