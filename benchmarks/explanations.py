"""What to put in the place of a word: how well explanations find the words that matter, by the token that blanks them.

An explanation is judged by what happens when the fifth of the word pieces that it puts first is replaced by [UNK], a
token that it may not have used itself: the log-odds of the answer should fall; and when the fifth that it puts last is
replaced, they should not.

    python -m benchmarks.explanations RUN --data examples/data/test.csv --text-a question1 --text-b question2
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bertune import Columns, load, predict, read_examples
from bertune.checkpoints.model_files import find_model_folder
from bertune.checkpoints.model_folder import LoadedModel
from bertune.data.examples import Examples
from bertune.evaluation.explain import STEPS, score_of
from bertune.evaluation.explain_methods import FloatArray, integrated_gradients
from bertune.evaluation.explain_texts import ReadTexts, read_texts
from bertune.evaluation.logits import predict_logits
from bertune.evaluation.occlusion import IntArray, blanked, scores_of, targets_of

UNKNOWN = "[UNK]"
BLANKS = ("[PAD]", "[MASK]", UNKNOWN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--text-a", required=True)
    parser.add_argument("--text-b")
    parser.add_argument("--rows", type=int, default=50)
    arguments = parser.parse_args()
    model = load(find_model_folder(arguments.run))
    columns = Columns(arguments.text_a, arguments.text_b)
    examples = read_examples(arguments.data, columns, require_label=False)
    examples = examples.select(range(min(arguments.rows, len(examples))))
    falls: dict[str, list[list[float]]] = {}
    for texts, targets in explained(model, examples):
        for name, attributions in explanations(model, texts, targets).items():
            falls.setdefault(name, []).append(fall_of(model, texts, targets, attributions))
    print(f"{len(examples)} rows; fall of the log-odds when a fifth of the pieces is replaced by [UNK]")
    print("| explained by | the first fifth | the last fifth |\n|---|---|---|")
    for name, rows in falls.items():
        first, last = np.mean(rows, axis=0)
        print(f"| {name} | {first:.2f} | {last:.2f} |")


def explained(model: LoadedModel, examples: Examples) -> Iterator[tuple[ReadTexts, list[int]]]:
    for row, prediction in enumerate(predict(model, examples)):
        yield read_texts(model, examples, row), targets_of(model.signature, prediction)[:1]


def explanations(model: LoadedModel, texts: ReadTexts, targets: list[int]) -> dict[str, FloatArray]:
    """Attributions of the pieces that are read, by each method and blank token, and random ones."""
    read, found = texts.read_pieces, {}
    score = score_of(model.signature, targets)
    blanks = dict(zip(BLANKS, model.tokenizer.convert_tokens_to_ids(BLANKS), strict=True))
    for token, blank_id in blanks.items():
        gradients = integrated_gradients(model.classifier, texts, score, blank_id=blank_id, steps=STEPS)
        found[f"integrated gradients from {token}"] = gradients[0, read]
    for token, blank_id in blanks.items():
        each = blanked_scores(model, texts, targets, list(read.reshape(-1, 1)), blank_id)
        found[f"occlusion by {token}"] = -each
    return found | {"chance": np.random.default_rng(len(read)).normal(size=len(read))}


def blanked_scores(
    model: LoadedModel, texts: ReadTexts, targets: list[int], pieces: list[IntArray], blank_id: int
) -> FloatArray:
    logits = predict_logits(model.classifier, blanked(texts, pieces, blank_id=blank_id))
    return scores_of(logits, model.signature, targets)[:, 0]


def fall_of(model: LoadedModel, texts: ReadTexts, targets: list[int], attributions: FloatArray) -> list[float]:
    """How far the score falls without the first fifth of the pieces, and without the last."""
    read, order = texts.read_pieces, np.argsort(-attributions)
    fifth = max(1, len(read) // 5)
    without = [read[:0], read[order[:fifth]], read[order[-fifth:]]]
    (blank_id,) = model.tokenizer.convert_tokens_to_ids([UNKNOWN])
    whole, first, last = blanked_scores(model, texts, targets, without, blank_id)
    return [whole - first, whole - last]


if __name__ == "__main__":
    main()
