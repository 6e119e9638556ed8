"""Prediction of texts that a program gives, by a model of torch."""

from collections.abc import Callable

from bertune.checkpoints.model_folder import LoadedModel
from bertune.data.examples import Examples
from bertune.evaluation.classifier_predictor import ClassifierPredictor
from bertune.evaluation.given_texts import rows_of
from bertune.evaluation.given_types import GivenTexts
from bertune.evaluation.labelled_rows import LabelledRows
from bertune.evaluation.predictions import Predictions, predictions_by
from bertune.nn.precision import Precision


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
    # Of a list the row is told, not the place in a file.
    where = rows.where if isinstance(texts, Examples | LabelledRows) else "row {}".format
    return predictions_by(ClassifierPredictor(model, precision), rows, where=where, on_batch=on_batch)
