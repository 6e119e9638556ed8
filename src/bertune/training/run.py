"""A whole run: from a table and a pretrained encoder to a model folder with scores."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bertune.batches.dataset import Dataset
from bertune.checkpoints.contract import Contract
from bertune.checkpoints.download import Report
from bertune.checkpoints.hub import resolve_model
from bertune.checkpoints.model_address import without_query
from bertune.checkpoints.model_directory import check_vocabulary, save
from bertune.checkpoints.model_files import config_file, tokenizer_folder
from bertune.checkpoints.receipt import Receipt
from bertune.checkpoints.restore import restore
from bertune.encoder.config import BertConfig
from bertune.encoder.precision import choose_precision, name_of
from bertune.errors import ConfigError
from bertune.evaluation.metrics import METRICS, require_classes
from bertune.heads.classifier import Classifier, draw_weights, undrawn_model
from bertune.text.audit import Audit, audit_splits
from bertune.text.examples import Examples, ReadReport, Task
from bertune.text.nearest import did_you_mean
from bertune.tokens.examples import EncodedExamples
from bertune.tokens.store_cache import encode_cached
from bertune.tokens.tokenizer import BertTokenizer
from bertune.training.config import TrainingConfig
from bertune.training.journal import Journal
from bertune.training.loop import EpochResult, History, Observer, fit
from bertune.training.reading import read_training_data
from bertune.training.reencoded import read_reencoded_data
from bertune.training.run_directory import RunDirectory
from bertune.training.run_settings import RunSettings
from bertune.training.tensorboard import TensorBoard

Say = Callable[[str], None]


@dataclass(frozen=True)
class PreparedRun:
    """Everything that is known before the first step; nothing has been written yet."""

    settings: RunSettings
    config: TrainingConfig
    task: Task
    tokenizer: BertTokenizer
    classifier: Classifier
    receipt: Receipt
    audit: Audit
    reports: dict[str, ReadReport]
    train: Dataset
    validation: Dataset | None
    contract: Contract


@dataclass(frozen=True)
class FinishedRun:
    """What a run came to.

    Args:
        directory: where everything is.
        history: steps and epochs.
        best: the epoch whose weights are in the model folder.
    """

    directory: RunDirectory
    history: History
    best: EpochResult


def prepare(settings: RunSettings, config: TrainingConfig, *, say: Say, on_fetch: Report | None = None) -> PreparedRun:
    """Reads and checks everything; writes nothing.

    Args:
        settings: what to read and where to start from.
        config: how to train.
        say: told each fact as a line, for the terminal.
        on_fetch: told how far the download of a model from an address is.

    Raises:
        BertuneError: any part that cannot work; nothing has been written.
    """
    RunDirectory(settings.out).check(overwrite=settings.overwrite)
    reencoded = read_reencoded_data(settings)
    if reencoded is None:
        task, splits = read_training_data(settings)
        reports = {name: examples.report for name, examples in splits.items()}
    else:
        settings, task, audit, reports, splits = *reencoded.known(), {}
    _check_settings(settings, config, task, has_validation="validation" in reports)
    if reencoded is None:
        audit = audit_splits(splits, task.labels)
    for line in audit.lines() if reencoded is None else reencoded.lines():
        say(line)
    model_folder = resolve_model(settings.model, on_progress=on_fetch)
    tokenizer = BertTokenizer.from_directory(tokenizer_folder(model_folder))
    classifier, receipt = _restore(settings, config, model_folder, tokenizer, task)
    say(f"restored {settings.model}: {receipt.summary()}; new: the classifier head")
    if reencoded is None:
        datasets = {
            name: Dataset(_encode(name, examples, tokenizer, settings, say), _targets(examples, task))
            for name, examples in splits.items()
        }
    else:
        datasets = reencoded.datasets_for(tokenizer)
    train, validation = datasets["train"], datasets.get("validation")
    if validation is None:
        say("no validation data: every epoch trains, the last is kept, and there is no score")
    assert train.targets is not None
    contract = _contract(settings, task, train.targets)
    return PreparedRun(
        settings, config, task, tokenizer, classifier, receipt, audit, reports, train, validation, contract
    )


def execute(run: PreparedRun, *, observer: Observer | None = None) -> FinishedRun:
    """Trains, and writes the run folder.

    Args:
        run: what was prepared.
        observer: watches, beside the journal.

    Raises:
        ConfigError: the folder holds something else.
        DivergedError: the loss is not finite; the model folder then holds the best epoch so far, if there was one.
    """
    directory = RunDirectory(run.settings.out)

    def keep(result: EpochResult) -> None:
        scores = None if result.scores is None else {"metrics": result.scores.values, "rows": result.scores.rows}
        save(run.classifier, directory.model, tokenizer=run.tokenizer, contract=run.contract, scores=scores)
        # After the model, so that scores are never those of weights that are not there.
        if result.scores is not None:
            directory.write_json("scores.json", {"epoch": result.epoch, "validation": result.scores.to_dict()})
        directory.forget_earlier_run()

    with directory.started(overwrite=run.settings.overwrite), ExitStack() as kept_open:
        journal = kept_open.enter_context(Journal(directory.journal))
        directory.write_settings(resolved_settings(run))
        reports = {name: report.to_dict() for name, report in run.reports.items()}
        directory.write_json("data.json", run.audit.to_dict() | {"reports": reports})
        directory.write_json("receipt.json", run.receipt.to_dict())
        curves = kept_open.enter_context(TensorBoard(directory.tensorboard)) if run.settings.tensorboard else None
        history = fit(
            run.classifier,
            run.train,
            run.validation,
            config=run.config,
            metrics=run.contract.metrics,
            label_names=run.contract.labels or None,
            observer=_All(each for each in (journal, curves, observer) if each is not None),
            on_best=keep,
        )
    return FinishedRun(directory, history, history.best)


def resolved_settings(run: PreparedRun) -> dict[str, Any]:
    """Returns every setting under its flag's name, as `run.toml` holds them; unset and empty ones are left out.

    What was chosen for the user is written out, paths are absolute, and `overwrite` is left out: to repeat a run must
    not replace it.
    """
    settings = run.settings
    precision = choose_precision(run.config.precision, torch.device("cpu"))
    merged = asdict(settings) | asdict(run.config)
    merged |= {
        "data": _absolute(settings.data),
        "validation": settings.validation and _absolute(settings.validation),
        "model": _absolute(settings.model),
        "out": str(settings.out.absolute()),
        "allow_new": list(settings.allow_new),
        "metric": run.contract.metrics[0] if run.validation is not None else None,
        "precision": name_of(precision),
        "overwrite": None,
    }
    # An empty list in TOML would come back as a list with an empty list in it.
    return {name.replace("_", "-"): value for name, value in merged.items() if value is not None and value != []}


def _absolute(name: str) -> str:
    """Makes a path absolute; names of the hub stay as they are."""
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else name


def _check_settings(settings: RunSettings, config: TrainingConfig, task: Task, *, has_validation: bool) -> None:
    """Refuses settings that could have no effect, before anything is made."""
    if settings.metric is not None:
        known = [name for name, metric in METRICS.items() if metric.task_kind == task.kind]
        if settings.metric not in known:
            raise ConfigError(
                f"metric {settings.metric!r} is none of {task.kind}'s: {', '.join(known)}",
                hint=did_you_mean(settings.metric, known),
            )
        if task.labels is not None:
            require_classes([settings.metric], len(task.labels))
    if not has_validation and (settings.metric is not None or config.patience is not None):
        raise ConfigError("--metric and --patience need validation data", hint="name some with --validation")
    if task.kind == "regression" and config.label_smoothing:
        raise ConfigError("--label-smoothing is for classes, not for values")


class _All:
    """Several observers as one."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)

    def on_start(self, *arguments: Any) -> None:
        for observer in self._observers:
            observer.on_start(*arguments)

    def on_step(self, result: Any) -> None:
        for observer in self._observers:
            observer.on_step(result)

    def on_epoch(self, result: Any) -> None:
        for observer in self._observers:
            observer.on_epoch(result)


def _restore(
    settings: RunSettings, config: TrainingConfig, folder: Path, tokenizer: BertTokenizer, task: Task
) -> tuple[Classifier, Receipt]:
    bert_config = BertConfig.from_json_file(config_file(folder))
    if settings.max_length > bert_config.max_position_embeddings:
        raise ConfigError(
            f"max_length ({settings.max_length}) exceeds the encoder's {bert_config.max_position_embeddings} positions",
            hint=f"use --max-length {bert_config.max_position_embeddings} or less",
        )
    outputs = 1 if task.labels is None else len(task.labels)
    classifier, encoder = undrawn_model(bert_config, outputs, pooling=settings.pooling)
    check_vocabulary(tokenizer, encoder, folder)
    receipt = restore(encoder, folder, allow_new=settings.allow_new).assert_consumed()
    new = {f"encoder.{record.name}" for record in receipt.having("new")}
    draw_weights(classifier, seed=config.seed, only=new | {"classifier.weight", "classifier.bias"})
    return classifier, receipt


def _encode(
    name: str, examples: Examples, tokenizer: BertTokenizer, settings: RunSettings, say: Say
) -> EncodedExamples:
    encoded, found = encode_cached(examples.texts_a, examples.texts_b, tokenizer, settings.max_length)
    say(
        f"{name}: {int(encoded.offsets[-1]):,} tokens, {np.diff(encoded.offsets).mean():.1f} an example, "
        f"{encoded.truncated_fraction:.2%} truncated at {settings.max_length}"
        f"{' (encoded by an earlier run)' if found else ''}"
    )
    return encoded


def _targets(examples: Examples, task: Task) -> NDArray[Any]:
    return examples.targets() if task.labels is None else examples.label_ids(task.labels)


def _contract(settings: RunSettings, task: Task, train_targets: NDArray[Any]) -> Contract:
    metrics = task.metrics
    if settings.metric is not None:
        metrics = (settings.metric, *(metric for metric in metrics if metric != settings.metric))
    counts: tuple[int, ...] = ()
    if task.labels is not None:
        counts = tuple(int(count) for count in np.bincount(train_targets, minlength=len(task.labels)))
    return Contract(
        labels=() if task.labels is None else task.labels.names,
        is_pair=task.columns.is_pair,
        max_length=settings.max_length,
        kind=task.kind,
        pooling=settings.pooling,
        task=settings.task or "",
        text_a=task.columns.text_a,
        text_b=task.columns.text_b,
        label=task.columns.label,
        metrics=metrics,
        label_counts=counts,
        target_mean=float(train_targets.mean()) if task.labels is None else None,
        # It goes with the model wherever that goes; the signature of an address must not.
        base_model=without_query(settings.model),
    )
