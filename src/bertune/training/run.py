"""A whole run: from a table and a pretrained encoder to a model folder with scores."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
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
from bertune.encoder.device import choose_device
from bertune.encoder.precision import choose_precision, name_of
from bertune.errors import ConfigError
from bertune.evaluation.calibrate import Calibration
from bertune.evaluation.evaluate import score_logits
from bertune.evaluation.metrics import METRICS, require_classes
from bertune.evaluation.scores import Scores
from bertune.evaluation.thresholds import require_threshold
from bertune.heads.classifier import Classifier, draw_weights, undrawn_model
from bertune.text.audit import Audit, audit_splits, warning_lines
from bertune.text.examples import Examples, ReadReport, Task
from bertune.text.nearest import did_you_mean
from bertune.text.several_labels import SeveralLabels
from bertune.tokens.examples import EncodedExamples
from bertune.tokens.long_texts import LongTexts, checked_stride
from bertune.tokens.store_cache import encode_cached
from bertune.tokens.token_scan import TokenScan
from bertune.tokens.tokenizer import BertTokenizer
from bertune.training.calibrated import calibrated
from bertune.training.config import TrainingConfig
from bertune.training.dynamics import Dynamics
from bertune.training.goal import Goal
from bertune.training.journal import Journal
from bertune.training.layer_settings import check_reinit_layers
from bertune.training.loop import EpochResult, History, Observer, fit
from bertune.training.reading import ALSO_SCORED, read_training_data
from bertune.training.reencoded import read_reencoded_data
from bertune.training.run_directory import RunDirectory
from bertune.training.run_rows import Describe, DescribeExamples, write_dynamics, write_validation_rows
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
    describe: dict[str, Describe]
    long_texts: dict[str, LongTexts]
    also_scored: dict[str, Dataset] = field(default_factory=dict)


@dataclass(frozen=True)
class FinishedRun:
    """What a run came to.

    Args:
        directory: where everything is.
        history: steps and epochs.
        best: the epoch whose weights are in the model folder, with the scores of that model: by its temperature and
            thresholds.
        calibration: how temperature and thresholds were found; None for values and without validation data.
        also: its scores on validation data that nothing was chosen by (MNLI's second set), by the name of the split.
    """

    directory: RunDirectory
    history: History
    best: EpochResult
    calibration: Calibration | None = None
    also: dict[str, Scores] = field(default_factory=dict)


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
    device = choose_device(settings.device)
    reencoded = read_reencoded_data(settings)
    if reencoded is None:
        task, splits = read_training_data(settings)
        reports = {name: examples.report for name, examples in splits.items()}
    else:
        settings, task, audit, reports, splits = *reencoded.known(), {}
    _check_settings(settings, config, task, has_validation="validation" in reports)
    settings = replace(settings, window_stride=_window_stride(settings, is_pair=task.columns.is_pair))
    if reencoded is None:
        audit = audit_splits(splits, task.labels)
    for line in audit.lines() if reencoded is None else reencoded.lines():
        say(line)
    model_folder = resolve_model(settings.model, on_progress=on_fetch)
    tokenizer = BertTokenizer.from_directory(tokenizer_folder(model_folder))
    classifier, receipt = _restore(settings, config, model_folder, tokenizer, task)
    classifier.to(device)
    say(f"restored {settings.model}: {receipt.summary()}; new: the classifier head")
    if config.reinit_layers:
        pooler = "" if classifier.encoder.pooler is None else "the pooler and "
        say(f"drawn anew when training begins: {pooler}the top {config.reinit_layers} layers")
    if reencoded is None:
        datasets = {}
        for name, examples in splits.items():
            datasets[name] = Dataset(_encode(name, examples, tokenizer, settings, say), _targets(examples, task))
            for line in _count_tokens(audit, name, examples, tokenizer, settings):
                say(line)
        long_texts = {name: LongTexts.of(data.encoded, settings.long_text) for name, data in datasets.items()}
        describe: dict[str, Describe] = {name: DescribeExamples(examples) for name, examples in splits.items()}
    else:
        datasets, long_texts = reencoded.datasets_for(tokenizer), reencoded.long_texts()
        describe = reencoded.describe()
    if settings.strict:
        audit.refuse_findings()
    train, validation = datasets["train"], datasets.get("validation")
    if validation is None:
        say("no validation data: every epoch trains, the last is kept, and there is no score")
    assert train.targets is not None
    contract = _contract(settings, task, train.targets)
    also = {ALSO_SCORED: datasets[ALSO_SCORED]} if ALSO_SCORED in datasets else {}
    return PreparedRun(
        settings,
        config,
        task,
        tokenizer,
        classifier,
        receipt,
        audit,
        reports,
        train,
        validation,
        contract,
        describe,
        long_texts,
        also,
    )


def with_seed(run: PreparedRun, seed: int, out: Path) -> PreparedRun:
    """Makes the same run of another seed, on the same data in memory; only the encoder is restored anew.

    Args:
        run: what was prepared; stays as it is.
        seed: of the new run.
        out: its folder.
    """
    settings, config = replace(run.settings, out=out), replace(run.config, seed=seed)
    classifier, receipt = _restore(settings, config, resolve_model(settings.model), run.tokenizer, run.task)
    return replace(run, settings=settings, config=config, classifier=classifier, receipt=receipt)


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
    labels = run.contract.labels
    dynamics = Dynamics(len(run.train), run.contract.kind)
    contract = run.contract
    best: EpochResult | None = None
    calibration: Calibration | None = None

    def keep(result: EpochResult) -> None:
        nonlocal contract, best, calibration
        contract, best = run.contract, result
        if run.validation is not None and result.logits is not None:
            assert run.validation.targets is not None
            contract, answered, calibration = calibrated(
                run.contract, result.logits, run.validation.targets, run.settings
            )
            best = replace(result, scores=answered)
        scores = None if best.scores is None else {"metrics": best.scores.values, "rows": best.scores.rows}
        save(run.classifier, directory.model, tokenizer=run.tokenizer, contract=contract, scores=scores)
        # After the model, so that scores are never those of weights that are not there.
        if best.scores is not None:
            directory.write_json("scores.json", {"epoch": best.epoch, "validation": best.scores.to_dict()})
        if calibration is not None:
            directory.write_json("calibration.json", calibration.to_dict())
        if run.validation is not None and result.logits is not None:
            write_validation_rows(
                directory.path / "validation.jsonl", run.describe["validation"], run.validation, result.logits, labels
            )
        directory.forget_earlier_run()

    with directory.started(overwrite=run.settings.overwrite), ExitStack() as kept_open:
        # First, since it makes the folder a run: one that is killed right after can be replaced.
        directory.write_settings(resolved_settings(run))
        journal = kept_open.enter_context(Journal(directory.journal))
        long_texts = {name: report.to_dict() for name, report in run.long_texts.items()}
        directory.write_json("data.json", run.audit.to_dict() | {"long_texts": long_texts})
        directory.write_json("receipt.json", run.receipt.to_dict())
        curves = kept_open.enter_context(TensorBoard(directory.tensorboard)) if run.settings.tensorboard else None
        history = fit(
            run.classifier,
            run.train,
            run.validation,
            config=run.config,
            kind=run.contract.kind,
            metrics=run.contract.metrics,
            label_names=run.contract.labels or None,
            target_range=run.contract.target_range,
            observer=_All(each for each in (journal, curves, observer) if each is not None),
            on_best=keep,
            dynamics=dynamics,
        )
        write_dynamics(directory.path, run.describe["train"], run.train, dynamics, labels)
        best = best or history.best
        also = _score_also(run, directory, contract, best)
    return FinishedRun(directory, history, best, calibration, also)


def _score_also(run: PreparedRun, directory: RunDirectory, contract: Contract, best: EpochResult) -> dict[str, Scores]:
    """Scores the best weights on the validation data that nothing was chosen by, and writes that beside the others."""
    goal, also = Goal.of(contract), {}
    for name, data in run.also_scored.items():
        checked = goal.checked(data, name, run.classifier)
        assert checked.targets is not None
        _, logits = goal.score(run.classifier, checked, run.train.targets)
        also[name] = score_logits(logits, checked.targets, contract)
    if also:
        scores = {"validation": best.scores} if best.scores is not None else {}
        values = {name: split.to_dict() for name, split in (scores | also).items()}
        directory.write_json("scores.json", {"epoch": best.epoch} | values)
    return also


def resolved_settings(run: PreparedRun) -> dict[str, Any]:
    """Returns every setting under its flag's name, as `run.toml` holds them; unset and empty ones are left out.

    What was chosen for the user is written out, paths are absolute, and `overwrite` is left out: to repeat a run must
    not replace it.
    """
    settings = run.settings
    device = run.classifier.classifier.weight.device
    merged = asdict(settings) | asdict(run.config)
    merged |= {
        "data": _absolute(settings.data),
        "validation": settings.validation and _absolute(settings.validation),
        "model": _absolute(settings.model),
        "out": str(settings.out.absolute()),
        "metric": run.contract.metrics[0] if run.validation is not None else None,
        "precision": name_of(choose_precision(run.config.precision, device)),
        "device": device.type,
        "overwrite": None,
    }
    # An empty list in TOML would come back as a list with an empty list in it.
    return {
        name.replace("_", "-"): list(value) if isinstance(value, tuple) else value
        for name, value in merged.items()
        if value is not None and value != ()
    }


def _absolute(name: str) -> str:
    """Makes a path absolute; names of the hub stay as they are."""
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else name


def _check_settings(settings: RunSettings, config: TrainingConfig, task: Task, *, has_validation: bool) -> None:
    """Refuses settings that could have no effect, before anything is made."""
    if settings.metric is not None:
        known = [name for name, metric in METRICS.items() if task.kind in metric.measures]
        if settings.metric not in known:
            raise ConfigError(
                f"metric {settings.metric!r} is none of {task.kind}'s: {', '.join(known)}",
                hint=did_you_mean(settings.metric, known),
            )
        if task.labels is not None:
            require_classes([settings.metric], len(task.labels))
    if not has_validation and (settings.metric is not None or config.patience is not None):
        raise ConfigError("--metric and --patience need validation data", hint="name some with --validation")
    if settings.threshold == "auto":
        _check_thresholds(settings, task, has_validation=has_validation)
    if task.kind == "regression" and config.label_smoothing:
        raise ConfigError("--label-smoothing is for classes, not for values")
    if task.kind == "regression" and config.class_weights:
        raise ConfigError("--class-weights is for classes, not for values")


def _check_thresholds(settings: RunSettings, task: Task, *, has_validation: bool) -> None:
    if not has_validation:
        raise ConfigError("--threshold auto needs validation data", hint="name some with --validation")
    if task.kind == "regression":
        raise ConfigError("--threshold is for labels, not for values")
    if task.labels is not None:
        require_threshold(task.kind, task.labels.names, settings.threshold_for or settings.metric or task.metrics[0])


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
    check_reinit_layers(config.reinit_layers, bert_config.num_hidden_layers)
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
    encoded, found = encode_cached(
        examples.texts_a,
        examples.texts_b,
        tokenizer,
        settings.max_length,
        long_text=settings.long_text,
        window_stride=settings.window_stride,
    )
    tokens = int(encoded.offsets[-1])
    say(
        f"{name}: {tokens:,} tokens, {tokens / len(encoded):.1f} an example, "
        f"{LongTexts.of(encoded, settings.long_text).summary()}"
        f"{' (encoded by an earlier run)' if found else ''}"
    )
    return encoded


def _count_tokens(
    audit: Audit, name: str, examples: Examples, tokenizer: BertTokenizer, settings: RunSettings
) -> list[str]:
    """Adds lengths and unknown words to the audit, and says what there is to say of them."""
    scan = TokenScan(tokenizer, settings.max_length, loses_tokens=settings.long_text != "windows")
    scan.add(examples)
    figures = scan.figures()
    return [*figures.lines(), *warning_lines(audit.add_tokens(name, figures))]


def _window_stride(settings: RunSettings, *, is_pair: bool) -> int | None:
    return checked_stride(settings.long_text, settings.window_stride, max_length=settings.max_length, pairs=is_pair)


def _targets(examples: Examples, task: Task) -> NDArray[Any]:
    if task.labels is None:
        return examples.targets(task.target_range)
    return examples.label_rows(task.labels) if task.kind == "multi-label" else examples.label_ids(task.labels)


def _contract(settings: RunSettings, task: Task, train_targets: NDArray[Any]) -> Contract:
    metrics = task.metrics
    if settings.metric is not None:
        metrics = (settings.metric, *(metric for metric in metrics if metric != settings.metric))
    counts: tuple[int, ...] = ()
    if task.kind == "multi-label":
        counts = tuple(train_targets.sum(axis=0).tolist())
    elif task.labels is not None:
        counts = tuple(np.bincount(train_targets, minlength=len(task.labels)).tolist())
    several = task.columns.several or SeveralLabels()
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
        train_rows=len(train_targets),
        label_columns=several.columns,
        label_separator=several.separator,
        target_range=task.target_range,
        target_mean=float(train_targets.mean()) if task.labels is None else None,
        # It goes with the model wherever that goes; the signature of an address must not.
        base_model=without_query(settings.model),
        long_text=settings.long_text,
        window_stride=settings.window_stride,
    )
