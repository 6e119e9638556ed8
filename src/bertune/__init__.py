"""bertune fine-tunes BERT-family encoders on texts and text pairs.

The public names are loaded when they are first used, so `import bertune` is quick and imports no torch.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertune import errors as errors
    from bertune.api.estimators import TextClassifier as TextClassifier
    from bertune.api.estimators import TextRegressor as TextRegressor
    from bertune.api.fine_tuned_model import Model as Model
    from bertune.api.fine_tuned_model import load as load
    from bertune.api.train_settings import TrainSettings as TrainSettings
    from bertune.api.trained_run import Run as Run
    from bertune.api.trained_run import train as train
    from bertune.batches.batch import Batch as Batch
    from bertune.batches.batch import pack as pack
    from bertune.batches.dataset import Dataset as Dataset
    from bertune.batches.layout import Layout as Layout
    from bertune.checkpoints.contract import Contract as Contract
    from bertune.checkpoints.download import FetchProgress as FetchProgress
    from bertune.checkpoints.hub import resolve_model as resolve_model
    from bertune.checkpoints.hub_module import classifier_model as classifier_model
    from bertune.checkpoints.model_directory import LoadedModel as LoadedModel
    from bertune.checkpoints.model_directory import save as save
    from bertune.checkpoints.receipt import Receipt as Receipt
    from bertune.checkpoints.receipt import TensorRecord as TensorRecord
    from bertune.checkpoints.restore import restore as restore
    from bertune.checkpoints.tensorflow_writer import write_tf_checkpoint as write_tf_checkpoint
    from bertune.errors import BertuneError as BertuneError
    from bertune.errors import CheckpointError as CheckpointError
    from bertune.errors import ConfigError as ConfigError
    from bertune.errors import DataError as DataError
    from bertune.errors import DivergedError as DivergedError
    from bertune.errors import ResourceError as ResourceError
    from bertune.evaluation.calibrate import Calibration as Calibration
    from bertune.evaluation.calibrate import Quality as Quality
    from bertune.evaluation.calibrate import calibrate as calibrate
    from bertune.evaluation.calibration_error import Reliability as Reliability
    from bertune.evaluation.evaluate import evaluate as evaluate
    from bertune.evaluation.explain import Explanation as Explanation
    from bertune.evaluation.explain import PieceReason as PieceReason
    from bertune.evaluation.explain import Reason as Reason
    from bertune.evaluation.explain import WordReason as WordReason
    from bertune.evaluation.explain import explain as explain
    from bertune.evaluation.given_texts import ArrowStream as ArrowStream
    from bertune.evaluation.logits import predict_logits as predict_logits
    from bertune.evaluation.predictions import Prediction as Prediction
    from bertune.evaluation.predictions import Predictions as Predictions
    from bertune.evaluation.predictions import predict as predict
    from bertune.evaluation.reencoded import ReencodedExamples as ReencodedExamples
    from bertune.evaluation.score_parts import Baseline as Baseline
    from bertune.evaluation.score_parts import LabelScore as LabelScore
    from bertune.evaluation.score_parts import MetricScore as MetricScore
    from bertune.evaluation.scores import Scores as Scores
    from bertune.evaluation.thresholds import LabelThreshold as LabelThreshold
    from bertune.evaluation.thresholds import Thresholds as Thresholds
    from bertune.exports.agreement import Agreement as Agreement
    from bertune.exports.export import ExportProgress as ExportProgress
    from bertune.exports.export import export as export
    from bertune.models.bert import BertConfig as BertConfig
    from bertune.models.classifier import Classifier as Classifier
    from bertune.models.encoder import Encoder as Encoder
    from bertune.models.encoder import EncoderOutput as EncoderOutput
    from bertune.models.encoder_config import EncoderConfig as EncoderConfig
    from bertune.models.registry import read_config as read_config
    from bertune.optim.adamw import AdamWeightDecay as AdamWeightDecay
    from bertune.optim.create import create_optimizer as create_optimizer
    from bertune.optim.parameter_groups import decay_groups as decay_groups
    from bertune.optim.schedule import PolynomialDecay as PolynomialDecay
    from bertune.optim.schedule import WarmUp as WarmUp
    from bertune.optim.scheduled_adam import ScheduledAdam as ScheduledAdam
    from bertune.pictures.inputs import plot_inputs as plot_inputs
    from bertune.pictures.model import plot_model as plot_model
    from bertune.pictures.reliability import plot_reliability as plot_reliability
    from bertune.pictures.schedule import plot_schedule as plot_schedule
    from bertune.studies.study_table import SeedResult as SeedResult
    from bertune.studies.study_table import Spread as Spread
    from bertune.studies.summary import Summary as Summary
    from bertune.text.demo_data import demo_folder as demo_folder
    from bertune.text.examples import Columns as Columns
    from bertune.text.examples import Example as Example
    from bertune.text.examples import Examples as Examples
    from bertune.text.examples import LabelSet as LabelSet
    from bertune.text.glue import find_splits as find_splits
    from bertune.text.glue import glue_task as glue_task
    from bertune.text.glue import read_split as read_split
    from bertune.text.glue_tasks import GlueTask as GlueTask
    from bertune.text.read_options import ReadOptions as ReadOptions
    from bertune.text.read_report import ReadReport as ReadReport
    from bertune.text.read_report import RefusedRow as RefusedRow
    from bertune.text.row_source import RowSource as RowSource
    from bertune.text.several_labels import SeveralLabels as SeveralLabels
    from bertune.text.sources import ReadKeywords as ReadKeywords
    from bertune.text.sources import read_examples as read_examples
    from bertune.text.split_files import Split as Split
    from bertune.text.task import Task as Task
    from bertune.text.task_kind import TaskKind as TaskKind
    from bertune.tokens.added_tokens import AddedToken as AddedToken
    from bertune.tokens.encoding import bert_encode as bert_encode
    from bertune.tokens.encoding import encode_examples as encode_examples
    from bertune.tokens.examples import EncodedExamples as EncodedExamples
    from bertune.tokens.long_texts import LongTexts as LongTexts
    from bertune.tokens.manifest import Manifest as Manifest
    from bertune.tokens.manifest import Recipe as Recipe
    from bertune.tokens.manifest import Shard as Shard
    from bertune.tokens.pair_template import PairTemplate as PairTemplate
    from bertune.tokens.read_records import Records as Records
    from bertune.tokens.read_records import read_records as read_records
    from bertune.tokens.read_tokenizer import read_tokenizer as read_tokenizer
    from bertune.tokens.reencode import ReencodeProgress as ReencodeProgress
    from bertune.tokens.reencode import reencode as reencode
    from bertune.tokens.tokenizer import BertTokenizer as BertTokenizer
    from bertune.tokens.tokenizer_protocol import AlignedPiece as AlignedPiece
    from bertune.tokens.tokenizer_protocol import Tokenizer as Tokenizer
    from bertune.training.advice import Advice as Advice
    from bertune.training.callback import Callback as Callback
    from bertune.training.config import TrainingConfig as TrainingConfig
    from bertune.training.dynamics import Dynamics as Dynamics
    from bertune.training.history import EpochResult as EpochResult
    from bertune.training.history import History as History
    from bertune.training.loop import fit as fit
    from bertune.training.step import StepResult as StepResult
    from bertune.training.tensorboard import TensorBoard as TensorBoard

__version__ = "0.1.0"

_HOMES = {
    "AdamWeightDecay": "optim.adamw",
    "AddedToken": "tokens.added_tokens",
    "Advice": "training.advice",
    "Agreement": "exports.agreement",
    "AlignedPiece": "tokens.tokenizer_protocol",
    "ArrowStream": "evaluation.given_texts",
    "Baseline": "evaluation.score_parts",
    "Batch": "batches.batch",
    "BertConfig": "models.bert",
    "BertTokenizer": "tokens.tokenizer",
    "BertuneError": "errors",
    "Calibration": "evaluation.calibrate",
    "Callback": "training.callback",
    "CheckpointError": "errors",
    "Classifier": "models.classifier",
    "Columns": "text.examples",
    "ConfigError": "errors",
    "Contract": "checkpoints.contract",
    "DataError": "errors",
    "Dataset": "batches.dataset",
    "DivergedError": "errors",
    "Dynamics": "training.dynamics",
    "EncodedExamples": "tokens.examples",
    "Encoder": "models.encoder",
    "EncoderConfig": "models.encoder_config",
    "EncoderOutput": "models.encoder",
    "EpochResult": "training.history",
    "Example": "text.examples",
    "Examples": "text.examples",
    "Explanation": "evaluation.explain",
    "ExportProgress": "exports.export",
    "FetchProgress": "checkpoints.download",
    "GlueTask": "text.glue_tasks",
    "History": "training.history",
    "LabelScore": "evaluation.score_parts",
    "LabelSet": "text.examples",
    "LabelThreshold": "evaluation.thresholds",
    "Layout": "batches.layout",
    "LoadedModel": "checkpoints.model_directory",
    "LongTexts": "tokens.long_texts",
    "Manifest": "tokens.manifest",
    "MetricScore": "evaluation.score_parts",
    "Model": "api.fine_tuned_model",
    "PairTemplate": "tokens.pair_template",
    "PieceReason": "evaluation.explain",
    "PolynomialDecay": "optim.schedule",
    "Prediction": "evaluation.predictions",
    "Predictions": "evaluation.predictions",
    "Quality": "evaluation.calibrate",
    "ReadKeywords": "text.sources",
    "ReadOptions": "text.read_options",
    "ReadReport": "text.read_report",
    "Reason": "evaluation.explain",
    "Receipt": "checkpoints.receipt",
    "Recipe": "tokens.manifest",
    "Records": "tokens.read_records",
    "ReencodeProgress": "tokens.reencode",
    "ReencodedExamples": "evaluation.reencoded",
    "RefusedRow": "text.read_report",
    "Reliability": "evaluation.calibration_error",
    "ResourceError": "errors",
    "RowSource": "text.row_source",
    "Run": "api.trained_run",
    "ScheduledAdam": "optim.scheduled_adam",
    "Scores": "evaluation.scores",
    "SeedResult": "studies.study_table",
    "SeveralLabels": "text.several_labels",
    "Shard": "tokens.manifest",
    "Split": "text.split_files",
    "Spread": "studies.study_table",
    "StepResult": "training.step",
    "Summary": "studies.summary",
    "Task": "text.task",
    "TaskKind": "text.task_kind",
    "TensorBoard": "training.tensorboard",
    "TensorRecord": "checkpoints.receipt",
    "TextClassifier": "api.estimators",
    "TextRegressor": "api.estimators",
    "Thresholds": "evaluation.thresholds",
    "Tokenizer": "tokens.tokenizer_protocol",
    "TrainSettings": "api.train_settings",
    "TrainingConfig": "training.config",
    "WarmUp": "optim.schedule",
    "WordReason": "evaluation.explain",
    "bert_encode": "tokens.encoding",
    "calibrate": "evaluation.calibrate",
    "classifier_model": "checkpoints.hub_module",
    "create_optimizer": "optim.create",
    "decay_groups": "optim.parameter_groups",
    "demo_folder": "text.demo_data",
    "encode_examples": "tokens.encoding",
    "evaluate": "evaluation.evaluate",
    "explain": "evaluation.explain",
    "export": "exports.export",
    "find_splits": "text.glue",
    "fit": "training.loop",
    "glue_task": "text.glue",
    "load": "api.fine_tuned_model",
    "pack": "batches.batch",
    "plot_inputs": "pictures.inputs",
    "plot_model": "pictures.model",
    "plot_reliability": "pictures.reliability",
    "plot_schedule": "pictures.schedule",
    "predict": "evaluation.predictions",
    "predict_logits": "evaluation.logits",
    "read_config": "models.registry",
    "read_examples": "text.sources",
    "read_records": "tokens.read_records",
    "read_split": "text.glue",
    "read_tokenizer": "tokens.read_tokenizer",
    "reencode": "tokens.reencode",
    "resolve_model": "checkpoints.hub",
    "restore": "checkpoints.restore",
    "save": "checkpoints.model_directory",
    "train": "api.trained_run",
    "write_tf_checkpoint": "checkpoints.tensorflow_writer",
}

# What `from bertune import *` takes; without scikit-learn its estimators cannot be had.
_NEEDS_SKLEARN = ("TextClassifier", "TextRegressor")
__all__ = ["__version__", "errors", *_HOMES]  # noqa: PLE0604 (all are strings)
if importlib.util.find_spec("sklearn") is None:
    __all__ = [name for name in __all__ if name not in _NEEDS_SKLEARN]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("bertune.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'bertune' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"bertune.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_HOMES})
