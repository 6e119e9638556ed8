"""bertune fine-tunes BERT-family encoders on texts and text pairs.

The public names are loaded when they are first used, so `import bertune` is quick and imports no torch.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertune.api.estimators import TextClassifier as TextClassifier
    from bertune.api.estimators import TextRegressor as TextRegressor
    from bertune.api.fine_tuned_model import Model as Model
    from bertune.api.fine_tuned_model import load as load
    from bertune.api.train_settings import TrainSettings as TrainSettings
    from bertune.api.trained_run import Run as Run
    from bertune.api.trained_run import train as train
    from bertune.batches.batch import Batch as Batch
    from bertune.batches.dataset import Dataset as Dataset
    from bertune.checkpoints.contract import Contract as Contract
    from bertune.checkpoints.hub import resolve_model as resolve_model
    from bertune.checkpoints.hub_module import classifier_model as classifier_model
    from bertune.checkpoints.model_directory import LoadedModel as LoadedModel
    from bertune.checkpoints.model_directory import save as save
    from bertune.checkpoints.receipt import Receipt as Receipt
    from bertune.checkpoints.restore import restore as restore
    from bertune.checkpoints.tensorflow_writer import write_tf_checkpoint as write_tf_checkpoint
    from bertune.encoder.config import BertConfig as BertConfig
    from bertune.encoder.encoder import Encoder as Encoder
    from bertune.errors import BertuneError as BertuneError
    from bertune.evaluation.calibrate import calibrate as calibrate
    from bertune.evaluation.evaluate import evaluate as evaluate
    from bertune.evaluation.explain import explain as explain
    from bertune.evaluation.logits import predict_logits as predict_logits
    from bertune.evaluation.predictions import predict as predict
    from bertune.evaluation.scores import Scores as Scores
    from bertune.exports.agreement import Agreement as Agreement
    from bertune.exports.export import export as export
    from bertune.heads.classifier import Classifier as Classifier
    from bertune.optim.adamw import AdamWeightDecay as AdamWeightDecay
    from bertune.optim.create import create_optimizer as create_optimizer
    from bertune.optim.schedule import PolynomialDecay as PolynomialDecay
    from bertune.optim.schedule import WarmUp as WarmUp
    from bertune.pictures.inputs import plot_inputs as plot_inputs
    from bertune.pictures.model import plot_model as plot_model
    from bertune.pictures.reliability import plot_reliability as plot_reliability
    from bertune.pictures.schedule import plot_schedule as plot_schedule
    from bertune.text.examples import Columns as Columns
    from bertune.text.examples import Examples as Examples
    from bertune.text.examples import LabelSet as LabelSet
    from bertune.text.glue import find_splits as find_splits
    from bertune.text.glue import glue_task as glue_task
    from bertune.text.glue import read_split as read_split
    from bertune.text.row_source import RowSource as RowSource
    from bertune.text.sources import read_examples as read_examples
    from bertune.text.task import Task as Task
    from bertune.tokens.encoding import bert_encode as bert_encode
    from bertune.tokens.encoding import encode_examples as encode_examples
    from bertune.tokens.read_records import read_records as read_records
    from bertune.tokens.reencode import reencode as reencode
    from bertune.tokens.tokenizer import BertTokenizer as BertTokenizer
    from bertune.training.callback import Callback as Callback
    from bertune.training.config import TrainingConfig as TrainingConfig
    from bertune.training.history import History as History
    from bertune.training.loop import fit as fit

__version__ = "0.1.0"

_HOMES = {
    "AdamWeightDecay": "optim.adamw",
    "Agreement": "exports.agreement",
    "Batch": "batches.batch",
    "BertConfig": "encoder.config",
    "BertTokenizer": "tokens.tokenizer",
    "BertuneError": "errors",
    "Callback": "training.callback",
    "Classifier": "heads.classifier",
    "Columns": "text.examples",
    "Contract": "checkpoints.contract",
    "Dataset": "batches.dataset",
    "Encoder": "encoder.encoder",
    "Examples": "text.examples",
    "History": "training.history",
    "LabelSet": "text.examples",
    "LoadedModel": "checkpoints.model_directory",
    "Model": "api.fine_tuned_model",
    "PolynomialDecay": "optim.schedule",
    "Receipt": "checkpoints.receipt",
    "RowSource": "text.row_source",
    "Run": "api.trained_run",
    "Scores": "evaluation.scores",
    "Task": "text.task",
    "TextClassifier": "api.estimators",
    "TextRegressor": "api.estimators",
    "TrainSettings": "api.train_settings",
    "TrainingConfig": "training.config",
    "WarmUp": "optim.schedule",
    "bert_encode": "tokens.encoding",
    "calibrate": "evaluation.calibrate",
    "classifier_model": "checkpoints.hub_module",
    "create_optimizer": "optim.create",
    "encode_examples": "tokens.encoding",
    "evaluate": "evaluation.evaluate",
    "explain": "evaluation.explain",
    "export": "exports.export",
    "find_splits": "text.glue",
    "fit": "training.loop",
    "glue_task": "text.glue",
    "load": "api.fine_tuned_model",
    "plot_inputs": "pictures.inputs",
    "plot_model": "pictures.model",
    "plot_reliability": "pictures.reliability",
    "plot_schedule": "pictures.schedule",
    "predict": "evaluation.predictions",
    "predict_logits": "evaluation.logits",
    "read_examples": "text.sources",
    "read_records": "tokens.read_records",
    "read_split": "text.glue",
    "reencode": "tokens.reencode",
    "resolve_model": "checkpoints.hub",
    "restore": "checkpoints.restore",
    "save": "checkpoints.model_directory",
    "train": "api.trained_run",
    "write_tf_checkpoint": "checkpoints.tensorflow_writer",
}

# What `from bertune import *` takes; without scikit-learn its estimators cannot be had.
_NEEDS_SKLEARN = ("TextClassifier", "TextRegressor")
__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 (all are strings)
if importlib.util.find_spec("sklearn") is None:
    __all__ = [name for name in __all__ if name not in _NEEDS_SKLEARN]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bertune' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"bertune.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_HOMES})
