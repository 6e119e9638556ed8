"""How results are shown."""

import json
from collections.abc import Iterator
from typing import Any

from bertune.evaluation.predictions import Prediction, Predictions
from bertune.evaluation.reencoded import ReencodedExamples
from bertune.text.examples import Example, Examples
from bertune.training.run import FinishedRun


def finished_lines(finished: FinishedRun) -> list[str]:
    """Returns what a run came to, for people."""
    best = finished.best
    lines: list[str] = []
    if best.scores is not None:
        lines.append(f"validation, epoch {best.epoch} of {len(finished.history.epochs)} (chosen on these rows):")
        lines += best.scores.lines()
    if finished.calibration is not None:
        lines += ["", *finished.calibration.lines()]
    for name, scores in finished.also.items():
        lines += [f"{name} (nothing was chosen by these rows):", *scores.lines()]
    if finished.history.stopped_early:
        lines.append(f"stopped early: no better epoch after epoch {best.epoch}")
    seconds = sum(epoch.train_seconds for epoch in finished.history.epochs)
    rate = sum(step.examples for step in finished.history.steps) / seconds
    lines.append(f"trained {len(finished.history.steps)} steps in {seconds:.0f} s, {rate:.0f} examples/s")
    lines.append(f"model: {finished.directory.model}")
    return lines


def finished_values(finished: FinishedRun) -> dict[str, Any]:
    """Returns what a run came to, for programs."""
    best = finished.best
    return {
        "run": str(finished.directory.path),
        "model": str(finished.directory.model),
        "best_epoch": best.epoch,
        "validation": None if best.scores is None else best.scores.to_dict(),
        "calibration": None if finished.calibration is None else finished.calibration.to_dict(),
        **{name: scores.to_dict() for name, scores in finished.also.items()},
        "steps": len(finished.history.steps),
        "train_seconds": sum(epoch.train_seconds for epoch in finished.history.epochs),
        "stopped_early": finished.history.stopped_early,
    }


def prediction_lines(
    examples: Examples | ReencodedExamples, predictions: Predictions, *, as_json: bool
) -> Iterator[str]:
    """Yields one line an example: tab-separated with a header, or a JSON object.

    Examples that were encoded before have no texts; their position in the data set stands first.
    """
    if isinstance(examples, ReencodedExamples):
        yield from _numbered_lines(examples, predictions, as_json=as_json)
        return
    if not as_json:
        yield "\t".join(_column_names(predictions, is_pair=examples.texts_b is not None))
    for example, prediction in zip(examples, predictions, strict=True):
        yield _as_json(example, prediction) if as_json else _as_tsv(example, prediction)


def _numbered_lines(examples: ReencodedExamples, predictions: Predictions, *, as_json: bool) -> Iterator[str]:
    if not as_json:
        yield "\t".join(["example_id", *_answer_names(predictions)])
    for number, prediction in zip(examples.example_ids.tolist(), predictions, strict=True):
        if as_json:
            yield json.dumps({"example_id": number} | prediction.to_dict(), ensure_ascii=False)
        else:
            yield "\t".join([str(number), *_answer(prediction)])


def _column_names(predictions: Predictions, *, is_pair: bool) -> list[str]:
    return [*_answer_names(predictions), "text_a", *(["text_b"] if is_pair else [])]


def _answer_names(predictions: Predictions) -> list[str]:
    if predictions.contract.kind == "multi-label":
        return ["labels", "probabilities"]
    return ["label", "probability"] if predictions.labels else ["value"]


def _as_tsv(example: Example, prediction: Prediction) -> str:
    texts = [text for text in (example.text_a, example.text_b) if text is not None]
    return "\t".join([*_answer(prediction), *(" ".join(text.split()) for text in texts)])


def _answer(prediction: Prediction) -> list[str]:
    if prediction.value is not None:
        return [f"{prediction.value:.4f}"]
    if prediction.labels is not None:
        chances = [f"{prediction.probabilities[label]:.4f}" for label in prediction.labels]
        return [";".join(" ".join(label.split()) for label in prediction.labels), ";".join(chances)]
    return [" ".join(str(prediction.label).split()), f"{prediction.probability:.4f}"]


def _as_json(example: Example, prediction: Prediction) -> str:
    values: dict[str, Any] = {"text_a": example.text_a}
    if example.text_b is not None:
        values["text_b"] = example.text_b
    return json.dumps(values | prediction.to_dict(), ensure_ascii=False)
