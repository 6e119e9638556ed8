"""Predictions as named columns, for protocols whose outputs have names and types."""

from dataclasses import dataclass
from typing import Any, Literal

from bertune.checkpoints.signature import ModelSignature
from bertune.data.task_kind import TaskKind
from bertune.evaluation.predictions import Predictions

DataType = Literal["BYTES", "FP32", "INT64"]


@dataclass(frozen=True)
class OutputColumn:
    """One output.

    Args:
        name: of it.
        datatype: by the Open Inference Protocol.
        width: values a text; None for one that stands alone.
    """

    name: str
    datatype: DataType
    width: int | None = None


def output_columns(signature: ModelSignature) -> tuple[OutputColumn, ...]:
    """Lists the outputs of a model.

    A classifier gives a label and its probability, and all probabilities in the order of the labels; with several
    labels a text 0 or 1 for each of them; a regression a value.
    """
    if not signature.kind.has_labels:
        return (OutputColumn("value", "FP32"),)
    probabilities = OutputColumn("probabilities", "FP32", len(signature.labels))
    if signature.kind is TaskKind.MULTI_LABEL:
        return (OutputColumn("decisions", "INT64", len(signature.labels)), probabilities)
    return (OutputColumn("label", "BYTES"), OutputColumn("probability", "FP32"), probabilities)


def output_values(predictions: Predictions) -> dict[str, list[Any]]:
    """Gives each output, an entry a text, as plain values."""
    signature = predictions.signature
    if not signature.kind.has_labels:
        return {"value": predictions.decisions.tolist()}
    shares = predictions.probabilities.tolist()
    if signature.kind is TaskKind.MULTI_LABEL:
        return {"decisions": predictions.decisions.tolist(), "probabilities": shares}
    ids = predictions.decisions.tolist()
    return {
        "label": [signature.labels[chosen] for chosen in ids],
        "probability": [row[chosen] for chosen, row in zip(ids, shares, strict=True)],
        "probabilities": shares,
    }
