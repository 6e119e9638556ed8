"""A fine-tuned model's answers to texts; imports no torch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.signature import ModelSignature
from bertune.evaluation import answers
from bertune.evaluation.arrays import require_finite_logits
from bertune.evaluation.labelled_rows import LabelledRows
from bertune.evaluation.predictor import Predictor
from bertune.system.json_file import JsonObject
from bertune.system.renamed import RenamedAttribute
from bertune.tokenization.long_texts import LongTexts
from bertune.wording.counts import counted


@dataclass(frozen=True)
class Prediction:
    """The answer to one example.

    Args:
        label: the label given; None for multi-label and regression.
        probability: of that label; None for multi-label and regression.
        probabilities: of every label by name; empty for regression.
        value: the predicted value, for regression; None for labels.
        labels: all labels given, for multi-label, and there may be none; None for other kinds.
    """

    label: str | None
    probability: float | None
    probabilities: dict[str, float]
    value: float | None = None
    labels: tuple[str, ...] | None = None

    def to_dict(self) -> JsonObject:
        """Returns the answer as JSON-ready values."""
        if self.value is not None:
            return {"value": self.value}
        if self.labels is not None:
            return {"labels": list(self.labels), "probabilities": self.probabilities}
        return {"label": self.label, "probability": self.probability, "probabilities": self.probabilities}


@dataclass(frozen=True, repr=False)
class Predictions:
    """The answers to many examples, in input order.

    Args:
        logits: (examples, labels), fp32, as the model gives them.
        signature: of the model: what makes answers of logits.
        long_texts: how many examples were too long, and what became of them.
        computed_by: in which precision, and by what; see `logits.computed_by`.
    """

    logits: NDArray[np.float32]
    signature: ModelSignature
    long_texts: LongTexts
    computed_by: str = ""
    # By its earlier name.
    contract = RenamedAttribute("signature")

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels; empty for regression."""
        return self.signature.labels

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """(examples, labels); there are none for regression."""
        return answers.probabilities(self.logits, self.signature)

    @cached_property
    def decisions(self) -> NDArray[Any]:
        """What is answered: (examples,) label ids; (examples, labels) of 0 and 1 for multi-label; values."""
        return answers.decisions(self.logits, self.signature)

    def __repr__(self) -> str:
        of = f"labels {', '.join(map(repr, self.labels[:4]))}" if self.signature.kind.has_labels else "values"
        return f"Predictions({counted(len(self), 'row')}, {of}{', …' if len(self.labels) > 4 else ''})"

    def __len__(self) -> int:
        return len(self.logits)

    def __getitem__(self, row: int) -> Prediction:
        one = replace(self, logits=self.logits[[row]])
        return next(iter(one))

    def __iter__(self) -> Iterator[Prediction]:
        if not self.signature.kind.has_labels:
            yield from (Prediction(None, None, {}, float(value)) for value in self.decisions)
            return
        for shares, decided in zip(self.probabilities, self.decisions, strict=True):
            by_name = dict(zip(self.labels, shares.tolist(), strict=True))
            given = answers.kept_of(decided, self.signature)
            if isinstance(given, tuple):
                yield Prediction(None, None, by_name, labels=given)
            else:
                yield Prediction(self.labels[decided], float(shares[decided]), by_name)


def predictions_by(
    predictor: Predictor,
    rows: LabelledRows,
    *,
    where: Callable[[int], str] | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Predictions:
    """Predicts rows, by whatever computes.

    Args:
        predictor: a model of torch, or an export by another runtime.
        rows: texts, or re-encoded examples.
        where: names a row for messages; None names its place in the source.
        on_batch: called with the number of examples done in each batch.

    Returns:
        The predictions, in the order of the rows.

    Raises:
        ConfigError: the rows are others than the model takes.
        DataError: logits that are not finite; names the row.
    """
    encoded = rows.encoded_for(predictor)
    logits = predictor.logits(encoded, on_batch=on_batch)
    require_finite_logits(logits, where or rows.where)
    signature = predictor.signature
    return Predictions(logits, signature, rows.long_texts_of(encoded, signature.long_text), predictor.computed_by)


def baseline_of(signature: ModelSignature) -> NDArray[Any] | None:
    """Returns targets with the training data's majority or mean, for a baseline; None where not recorded."""
    if not signature.kind.has_labels:
        return None if signature.target_mean is None else np.array([signature.target_mean], dtype=np.float32)
    if not signature.label_counts:
        return None
    if signature.kind.has_label_sets:
        # Rows that have each label as often as the training data: a constant answer is judged by nothing else.
        rows = np.arange(signature.train_rows or 0)
        return rows[:, None] < np.array(signature.label_counts)
    return np.repeat(np.arange(len(signature.label_counts)), signature.label_counts)
