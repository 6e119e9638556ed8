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
    from bertune.api.resumed_run import resume as resume
    from bertune.api.train_settings import TrainSettings as TrainSettings
    from bertune.api.trained_run import Run as Run
    from bertune.api.trained_run import train as train
    from bertune.batches.batch import Batch as Batch
    from bertune.batches.batch import pack as pack
    from bertune.batches.dataset import Dataset as Dataset
    from bertune.batches.layout import Layout as Layout
    from bertune.batches.soft_targets import SoftRows as SoftRows
    from bertune.batches.soft_targets import SoftTargets as SoftTargets
    from bertune.checkpoints.model_folder import LoadedModel as LoadedModel
    from bertune.checkpoints.model_folder import save as save
    from bertune.checkpoints.receipt import Receipt as Receipt
    from bertune.checkpoints.receipt import TensorRecord as TensorRecord
    from bertune.checkpoints.restore import restore as restore
    from bertune.checkpoints.signature import ModelSignature as ModelSignature
    from bertune.checkpoints.tensorflow_writer import write_tf_checkpoint as write_tf_checkpoint
    from bertune.data.demo_data import demo_folder as demo_folder
    from bertune.data.examples import Columns as Columns
    from bertune.data.examples import Example as Example
    from bertune.data.examples import Examples as Examples
    from bertune.data.examples import LabelSet as LabelSet
    from bertune.data.glue_tasks import GlueTask as GlueTask
    from bertune.data.read_options import ReadOptions as ReadOptions
    from bertune.data.read_report import ReadReport as ReadReport
    from bertune.data.read_report import RefusedRow as RefusedRow
    from bertune.data.row_source import RowSource as RowSource
    from bertune.data.several_labels import SeveralLabels as SeveralLabels
    from bertune.data.soft_labels import SoftLabels as SoftLabels
    from bertune.data.sources import ReadKeywords as ReadKeywords
    from bertune.data.sources import read_examples as read_examples
    from bertune.data.split_files import Split as Split
    from bertune.data.splits import find_splits as find_splits
    from bertune.data.splits import glue_task as glue_task
    from bertune.data.splits import read_split as read_split
    from bertune.data.task import Task as Task
    from bertune.data.task_kind import TaskKind as TaskKind
    from bertune.errors import BertuneError as BertuneError
    from bertune.errors import CheckpointError as CheckpointError
    from bertune.errors import ConfigError as ConfigError
    from bertune.errors import DataError as DataError
    from bertune.errors import DivergedError as DivergedError
    from bertune.errors import ResourceError as ResourceError
    from bertune.errors import StoppedError as StoppedError
    from bertune.evaluation.calibration import Calibration as Calibration
    from bertune.evaluation.calibration import Quality as Quality
    from bertune.evaluation.calibration import calibrate as calibrate
    from bertune.evaluation.calibration_error import Reliability as Reliability
    from bertune.evaluation.encoded_folder import ReencodedExamples as ReencodedExamples
    from bertune.evaluation.evaluate_model import evaluate as evaluate
    from bertune.evaluation.explain import explain as explain
    from bertune.evaluation.explanation import Explanation as Explanation
    from bertune.evaluation.explanation import PieceReason as PieceReason
    from bertune.evaluation.explanation import Reason as Reason
    from bertune.evaluation.explanation import WordReason as WordReason
    from bertune.evaluation.given_types import ArrowStream as ArrowStream
    from bertune.evaluation.labelled_rows import LabelledRows as LabelledRows
    from bertune.evaluation.logits import predict_logits as predict_logits
    from bertune.evaluation.predict_texts import predict as predict
    from bertune.evaluation.predictions import Prediction as Prediction
    from bertune.evaluation.predictions import Predictions as Predictions
    from bertune.evaluation.predictor import TokenizedModel as TokenizedModel
    from bertune.evaluation.saved_scores import FoldScore as FoldScore
    from bertune.evaluation.score_parts import Baseline as Baseline
    from bertune.evaluation.score_parts import LabelScore as LabelScore
    from bertune.evaluation.score_parts import MetricScore as MetricScore
    from bertune.evaluation.scores import Scores as Scores
    from bertune.evaluation.thresholds import LabelThreshold as LabelThreshold
    from bertune.evaluation.thresholds import Thresholds as Thresholds
    from bertune.experiments.study_table import SeedResult as SeedResult
    from bertune.experiments.study_table import Spread as Spread
    from bertune.experiments.summary import Summary as Summary
    from bertune.exports.agreement import Agreement as Agreement
    from bertune.exports.proved_export import ExportProgress as ExportProgress
    from bertune.exports.proved_export import export as export
    from bertune.exports.verified_export import verify as verify
    from bertune.fetch.download import FetchProgress as FetchProgress
    from bertune.fetch.hub_module import classifier_model as classifier_model
    from bertune.fetch.resolve import resolve_model as resolve_model
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
    from bertune.plots.inputs_plot import plot_inputs as plot_inputs
    from bertune.plots.model_plot import plot_model as plot_model
    from bertune.plots.reliability_plot import plot_reliability as plot_reliability
    from bertune.plots.schedule_plot import plot_schedule as plot_schedule
    from bertune.runtime.export_speed import ExportSpeed as ExportSpeed
    from bertune.runtime.exported_model import ExportedModel as ExportedModel
    from bertune.runtime.int8_agreement import Int8Agreement as Int8Agreement
    from bertune.runtime.verification import Verification as Verification
    from bertune.shards.manifest import Manifest as Manifest
    from bertune.shards.manifest import Recipe as Recipe
    from bertune.shards.manifest import Shard as Shard
    from bertune.shards.read_records import Records as Records
    from bertune.shards.read_records import read_records as read_records
    from bertune.shards.reencode import ReencodeProgress as ReencodeProgress
    from bertune.shards.reencode import reencode as reencode
    from bertune.tokenization.added_tokens import AddedToken as AddedToken
    from bertune.tokenization.encode_texts import bert_encode as bert_encode
    from bertune.tokenization.encode_texts import encode_examples as encode_examples
    from bertune.tokenization.encoded_examples import EncodedExamples as EncodedExamples
    from bertune.tokenization.long_texts import LongTexts as LongTexts
    from bertune.tokenization.pair_template import PairTemplate as PairTemplate
    from bertune.tokenization.read_tokenizer import read_tokenizer as read_tokenizer
    from bertune.tokenization.tokenizer import BertTokenizer as BertTokenizer
    from bertune.tokenization.tokenizer_protocol import AlignedPiece as AlignedPiece
    from bertune.tokenization.tokenizer_protocol import Tokenizer as Tokenizer
    from bertune.training.advice import Advice as Advice
    from bertune.training.callback import Callback as Callback
    from bertune.training.config import TrainingConfig as TrainingConfig
    from bertune.training.dynamics import Dynamics as Dynamics
    from bertune.training.history import EpochResult as EpochResult
    from bertune.training.history import Evaluation as Evaluation
    from bertune.training.history import History as History
    from bertune.training.loop import fit as fit
    from bertune.training.step import SkippedStep as SkippedStep
    from bertune.training.step import StepResult as StepResult
    from bertune.training.tensorboard import TensorBoard as TensorBoard

__version__ = "0.1.0"

_HOMES = {
    "AdamWeightDecay": "optim.adamw",
    "AddedToken": "tokenization.added_tokens",
    "Advice": "training.advice",
    "Agreement": "exports.agreement",
    "AlignedPiece": "tokenization.tokenizer_protocol",
    "ArrowStream": "evaluation.given_types",
    "Baseline": "evaluation.score_parts",
    "Batch": "batches.batch",
    "BertConfig": "models.bert",
    "BertTokenizer": "tokenization.tokenizer",
    "BertuneError": "errors",
    "Calibration": "evaluation.calibration",
    "Callback": "training.callback",
    "CheckpointError": "errors",
    "Classifier": "models.classifier",
    "Columns": "data.examples",
    "ConfigError": "errors",
    "DataError": "errors",
    "Dataset": "batches.dataset",
    "DivergedError": "errors",
    "Dynamics": "training.dynamics",
    "EncodedExamples": "tokenization.encoded_examples",
    "Encoder": "models.encoder",
    "EncoderConfig": "models.encoder_config",
    "EncoderOutput": "models.encoder",
    "EpochResult": "training.history",
    "Evaluation": "training.history",
    "Example": "data.examples",
    "Examples": "data.examples",
    "Explanation": "evaluation.explanation",
    "ExportProgress": "exports.proved_export",
    "ExportSpeed": "runtime.export_speed",
    "ExportedModel": "runtime.exported_model",
    "FetchProgress": "fetch.download",
    "FoldScore": "evaluation.saved_scores",
    "GlueTask": "data.glue_tasks",
    "History": "training.history",
    "Int8Agreement": "runtime.int8_agreement",
    "LabelScore": "evaluation.score_parts",
    "LabelSet": "data.examples",
    "LabelThreshold": "evaluation.thresholds",
    "LabelledRows": "evaluation.labelled_rows",
    "Layout": "batches.layout",
    "LoadedModel": "checkpoints.model_folder",
    "LongTexts": "tokenization.long_texts",
    "Manifest": "shards.manifest",
    "MetricScore": "evaluation.score_parts",
    "Model": "api.fine_tuned_model",
    "ModelSignature": "checkpoints.signature",
    "PairTemplate": "tokenization.pair_template",
    "PieceReason": "evaluation.explanation",
    "PolynomialDecay": "optim.schedule",
    "Prediction": "evaluation.predictions",
    "Predictions": "evaluation.predictions",
    "Quality": "evaluation.calibration",
    "ReadKeywords": "data.sources",
    "ReadOptions": "data.read_options",
    "ReadReport": "data.read_report",
    "Reason": "evaluation.explanation",
    "Receipt": "checkpoints.receipt",
    "Recipe": "shards.manifest",
    "Records": "shards.read_records",
    "ReencodeProgress": "shards.reencode",
    "ReencodedExamples": "evaluation.encoded_folder",
    "RefusedRow": "data.read_report",
    "Reliability": "evaluation.calibration_error",
    "ResourceError": "errors",
    "RowSource": "data.row_source",
    "Run": "api.trained_run",
    "ScheduledAdam": "optim.scheduled_adam",
    "Scores": "evaluation.scores",
    "SeedResult": "experiments.study_table",
    "SeveralLabels": "data.several_labels",
    "Shard": "shards.manifest",
    "SkippedStep": "training.step",
    "SoftLabels": "data.soft_labels",
    "SoftRows": "batches.soft_targets",
    "SoftTargets": "batches.soft_targets",
    "Split": "data.split_files",
    "Spread": "experiments.study_table",
    "StepResult": "training.step",
    "StoppedError": "errors",
    "Summary": "experiments.summary",
    "Task": "data.task",
    "TaskKind": "data.task_kind",
    "TensorBoard": "training.tensorboard",
    "TensorRecord": "checkpoints.receipt",
    "TextClassifier": "api.estimators",
    "TextRegressor": "api.estimators",
    "Thresholds": "evaluation.thresholds",
    "TokenizedModel": "evaluation.predictor",
    "Tokenizer": "tokenization.tokenizer_protocol",
    "TrainSettings": "api.train_settings",
    "TrainingConfig": "training.config",
    "Verification": "runtime.verification",
    "WarmUp": "optim.schedule",
    "WordReason": "evaluation.explanation",
    "bert_encode": "tokenization.encode_texts",
    "calibrate": "evaluation.calibration",
    "classifier_model": "fetch.hub_module",
    "create_optimizer": "optim.create",
    "decay_groups": "optim.parameter_groups",
    "demo_folder": "data.demo_data",
    "encode_examples": "tokenization.encode_texts",
    "evaluate": "evaluation.evaluate_model",
    "explain": "evaluation.explain",
    "export": "exports.proved_export",
    "find_splits": "data.splits",
    "fit": "training.loop",
    "glue_task": "data.splits",
    "load": "api.fine_tuned_model",
    "pack": "batches.batch",
    "plot_inputs": "plots.inputs_plot",
    "plot_model": "plots.model_plot",
    "plot_reliability": "plots.reliability_plot",
    "plot_schedule": "plots.schedule_plot",
    "predict": "evaluation.predict_texts",
    "predict_logits": "evaluation.logits",
    "read_config": "models.registry",
    "read_examples": "data.sources",
    "read_records": "shards.read_records",
    "read_split": "data.splits",
    "read_tokenizer": "tokenization.read_tokenizer",
    "reencode": "shards.reencode",
    "resolve_model": "fetch.resolve",
    "restore": "checkpoints.restore",
    "resume": "api.resumed_run",
    "save": "checkpoints.model_folder",
    "train": "api.trained_run",
    "verify": "exports.verified_export",
    "write_tf_checkpoint": "checkpoints.tensorflow_writer",
}

# What `from bertune import *` takes; without scikit-learn its estimators cannot be had.
_NEEDS_SKLEARN = ("TextClassifier", "TextRegressor")
# Public names of the release before, by what they are called now.
_RENAMED = {"Contract": "ModelSignature"}

__all__ = ["__version__", "errors", *_HOMES]  # noqa: PLE0604 (all are strings)


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:  # of a finder that refuses the name
        return False


if not _is_installed("sklearn"):
    __all__ = [name for name in __all__ if name not in _NEEDS_SKLEARN]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("bertune.errors")
    if name in _RENAMED:
        from bertune.system.renamed import warn_renamed

        warn_renamed(f"bertune.{name}", f"bertune.{_RENAMED[name]}")
        return getattr(importlib.import_module("bertune"), _RENAMED[name])
    if name not in _HOMES:
        raise AttributeError(f"module 'bertune' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"bertune.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_HOMES})
