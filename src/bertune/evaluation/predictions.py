"""A fine-tuned model's answers to texts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertune.checkpoints.model_folder import LoadedModel
from bertune.checkpoints.signature import ModelSignature
from bertune.data.examples import Examples
from bertune.evaluation import answers
from bertune.evaluation.arrays import require_finite_logits
from bertune.evaluation.given_texts import GivenTexts, rows_of
from bertune.evaluation.labelled_rows import LabelledRows
from bertune.evaluation.logits import computed_by, predict_logits
from bertune.models.encoder import computing_in
from bertune.nn.precision import Precision, choose_precision
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


def predict(
    model: LoadedModel,
    texts: GivenTexts | LabelledRows,
    *,
    text_a: str | int | None = None,
    text_b: str | int | None = None,
    precision: Precision = "fp32",
    on_batch: Callable[[int], None] | None = None,
) -> Predictions:
    """Predicts texts as they are; encoding is that of training.

    Args:
        model: from `load`.
        texts: a list or series of texts; for a pair model a list of pairs of texts; a table in memory (a DataFrame of
            pandas or polars, a Table of pyarrow, a Dataset of `datasets`); `Examples`; or re-encoded examples.
        text_a: the table's column of the (first) texts; None takes the one of that name in training.
        text_b: the table's column of the second texts, for a pair model; None as above.
        precision: in which the layers compute: `fp32` gives the numbers a run's scores were made of, `bf16` is faster
            where the processor multiplies it natively, `auto` takes it there.
        on_batch: called with the number of examples done in each batch.

    Returns:
        The answers, in the order of the texts.

    Raises:
        ConfigError: single texts for a pair model, or pairs for a single-text model; a column that the table does not
            have; or examples that were encoded for another model.
        DataError: there is no text, or an entry is neither a text nor a pair; names it; or the model gives logits
            that are not finite.

    Example:
        >>> model = bertune.load("runs/questions/model")
        >>> predictions = bertune.predict(model, [("Where is my parcel?", "When will my order arrive?")])
        >>> len(predictions), predictions.labels
        (1, ('different', 'duplicate'))
        >>> [prediction.label in predictions.labels for prediction in predictions]
        [True]
    """
    rows = rows_of(model.signature, texts, text_a=text_a, text_b=text_b)
    encoded = rows.encoded_for(model)
    device = model.classifier.device
    with computing_in(model.classifier.encoder, choose_precision(precision, device)):
        how = computed_by(model.classifier)
        logits = predict_logits(model.classifier, encoded, on_batch=on_batch)
    # Of a list the row is told, not the place in a file.
    require_finite_logits(logits, rows.where if isinstance(texts, Examples | LabelledRows) else "row {}".format)
    return Predictions(logits, model.signature, rows.long_texts_of(encoded, model.signature.long_text), how)


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
