"""Everything of a run before its first step: data read, audited and encoded, the encoder restored."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bertune.audit.audit import Audit, audit_splits
from bertune.batches.dataset import Dataset
from bertune.batches.sampler import steps_in_epoch
from bertune.batches.soft_targets import SoftTargets
from bertune.checkpoints.adapter_folder import check_adapter_kept
from bertune.checkpoints.cut_receipt import cut_receipt
from bertune.checkpoints.kept_head import Head, head_of_start
from bertune.checkpoints.model_files import config_file, tokenizer_folder
from bertune.checkpoints.model_folder import check_vocabulary
from bertune.checkpoints.receipt import Receipt
from bertune.checkpoints.restore import restore
from bertune.checkpoints.signature import SIGNATURE_FILE, ModelSignature
from bertune.checkpoints.stored_sizes import fitted_config
from bertune.data.examples import Examples, ReadReport, Task
from bertune.data.held_out import HeldOut
from bertune.errors import ConfigError
from bertune.evaluation.regression_baseline import RegressionBaseline
from bertune.fetch.download import Report
from bertune.fetch.resolve import resolve_model
from bertune.models.classifier import Classifier, draw_weights, undrawn_model
from bertune.models.encoder_config import Pooling
from bertune.models.kept_layers import copy_kept, cut_config
from bertune.models.registry import read_config
from bertune.nn.device import choose_device
from bertune.nn.precision import choose_precision, name_of
from bertune.tokenization.long_texts import LongTexts, checked_stride
from bertune.tokenization.pair_template import BERT, PairTemplate
from bertune.tokenization.read_tokenizer import read_tokenizer
from bertune.tokenization.tokenizer_files import read_model_max_length
from bertune.tokenization.tokenizer_protocol import Tokenizer
from bertune.training.adapters import check_lora, lora_sizes, with_adapters
from bertune.training.checkpoint_settings import CheckpointSettings
from bertune.training.class_weights import class_weights_of
from bertune.training.config import TrainingConfig
from bertune.training.encode_splits import encode_splits, encoded_by
from bertune.training.encoded_data import read_reencoded_data
from bertune.training.frozen_layers import check_freeze, frozen_line, trained_part
from bertune.training.layer_settings import check_reinit_layers
from bertune.training.plan import TrainingPlan, evaluations_in, plan_of
from bertune.training.reading import ALSO_SCORED, TEST, positive_line, read_training_data
from bertune.training.run_checks import check_settings
from bertune.training.run_directory import RunDirectory
from bertune.training.run_rows import Describe, DescribeExamples
from bertune.training.run_settings import RunSettings
from bertune.training.run_signature import signature_of_run
from bertune.training.teacher import Teaching, read_teaching
from bertune.wording.counts import counted

Say = Callable[[str], None]


@dataclass(frozen=True)
class PreparedRun:
    """Everything that is known before the first step; nothing has been written yet."""

    settings: RunSettings
    config: TrainingPlan
    task: Task
    tokenizer: Tokenizer
    classifier: Classifier
    receipt: Receipt
    audit: Audit
    reports: dict[str, ReadReport]
    train: Dataset
    validation: Dataset | None
    signature: ModelSignature
    describe: dict[str, Describe]
    long_texts: dict[str, LongTexts]
    also_scored: dict[str, Dataset] = field(default_factory=dict)
    held_out: HeldOut | None = None
    # What a study computes once for all of its seeds.
    baselines: tuple[RegressionBaseline, ...] | None = None
    # None saves nothing while it trains.
    checkpoints: CheckpointSettings | None = None
    # A fold's model is nobody's: it is neither written nor described.
    keeps_model: bool = True
    # Where there is a teacher, which has not answered yet.
    teaching: Teaching | None = None


def prepare(
    settings: RunSettings,
    config: TrainingConfig,
    *,
    say: Say,
    verbose: bool = False,
    on_fetch: Report | None = None,
    frames: Mapping[str, Any] | None = None,
    in_folds: bool = False,
) -> PreparedRun:
    """Reads and checks everything; writes nothing.

    Args:
        settings: what to read and where to start from.
        config: how to train; what it leaves open is the recipe's, chosen when encoder and rows are known.
        say: told each fact as a line, for the terminal.
        verbose: tell of lengths, tokens, places of findings and restored tensors as well.
        on_fetch: told how far the download of a model from an address is.
        frames: see `read_training_data`, as for the next.
        in_folds: whether the run is cross-validated; it then has no validation data of its own.

    Raises:
        BertuneError: any part that cannot work; nothing has been written.
    """
    RunDirectory(settings.out).check(overwrite=settings.overwrite)
    device = choose_device(settings.device)
    reencoded = None if frames else read_reencoded_data(settings)
    if reencoded is None:
        task, splits, held_out = read_training_data(settings, frames, in_folds=in_folds)
        reports = {name: examples.report for name, examples in splits.items()}
    else:
        settings, task, audit, reports, splits, held_out = *reencoded.known(), {}, None
    check_settings(settings, config, task, has_validation="validation" in reports or in_folds)
    # As `run.toml` will say it, so that the answers are still those of the run when it is resumed.
    precision = name_of(choose_precision(config.precision, device))
    teaching = None if settings.teacher is None else read_teaching(settings, task, splits, precision)
    # Before anything is fetched: what has no room in the shortest template has none in the model's.
    _window_stride(settings, BERT, is_pair=task.columns.is_pair)
    if reencoded is None:
        audit = audit_splits(
            splits,
            task.labels,
            chosen_by=(settings.metric or task.metrics[0]) if "validation" in splits or in_folds else None,
        )
    if held_out is not None:
        say(held_out.line())
    for line in audit.lines(verbose=verbose) if reencoded is None else reencoded.lines():
        say(line)
    if reencoded is None and (line_of_positive := positive_line(settings, task)) is not None:
        say(line_of_positive)
    model_folder = resolve_model(settings.model, on_progress=on_fetch)
    words = model_folder if settings.tokenizer is None else resolve_model(settings.tokenizer, on_progress=on_fetch)
    tokenizer = read_tokenizer(tokenizer_folder(words))
    stride = _window_stride(settings, tokenizer.template, is_pair=task.columns.is_pair)
    settings = replace(settings, window_stride=stride, pooling=settings.pooling or _pooling_of(model_folder))
    classifier, receipt, head = _restore(settings, config, model_folder, tokenizer, task)
    if settings.keep_adapter:
        check_adapter_kept(classifier)
    classifier.to(device)
    known = {name for name, _ in classifier.encoder.named_parameters()}
    say(_encoder_line(settings.model, receipt, head, known, verbose=verbose))
    if (sizes := lora_sizes(config)) is not None:
        say(f"adapters: rank {sizes.rank}, alpha {sizes.alpha:g}, merged into the weights")
    named = read_model_max_length(tokenizer_folder(words))
    if named is not None and settings.max_length > named:
        say(
            f"warning: --max-length {settings.max_length} is more than the {named} tokens that the tokenizer's files "
            "name for this model (model_max_length): it may not have been trained on longer texts"
        )
    if config.reinit_layers:
        pooler = "" if classifier.encoder.pooler is None else "the pooler and "
        say(f"initialized when training begins: {pooler}the top {config.reinit_layers} layers")
    if config.freeze is not None:
        say(frozen_line(classifier, config.freeze))
    if reencoded is None:
        datasets = encode_splits(splits, task, audit, tokenizer, settings, say, verbose=verbose)
        long_texts = {name: LongTexts.of(data.encoded, settings.long_text) for name, data in datasets.items()}
        describe: dict[str, Describe] = {name: DescribeExamples(examples) for name, examples in splits.items()}
    else:
        datasets, long_texts = reencoded.datasets_for(tokenizer), reencoded.long_texts()
        describe = reencoded.describe()
    if settings.strict:
        audit.refuse_findings()
    datasets["train"] = _with_soft_labels(datasets["train"], splits.get("train"), task)
    train, validation = datasets["train"], datasets.get("validation")
    is_judged = validation is not None or in_folds
    if not is_judged:
        say("no validation data: every epoch trains, the last is kept, and nothing is chosen")
    assert train.targets is not None
    signature = replace(
        signature_of_run(settings, task, train.targets),
        trained=trained_part(classifier.encoder, config.freeze, lora=config.lora),
    )
    # Training computes them again; a label that does not exist must be told before the folder is made.
    class_weights_of(config.class_weights, kind=task.kind, names=signature.labels, targets=train.targets)
    if teaching is not None:
        unlabelled = teaching.unlabelled()
        encoded = None if unlabelled is None else encoded_by(unlabelled, tokenizer, settings)[0]
        train = teaching.joined(train, encoded)
        describe["train"] = DescribeExamples(teaching.examples)
        say(_teacher_line(teaching))
    plan = plan_of(config, classifier, len(train), has_validation=is_judged)
    for reason in plan.reasons:
        say(reason)
    if plan.evaluate_every is not None:
        say(_evaluations_line(plan, plan.evaluate_every, len(train)))
    also = {name: datasets[name] for name in (ALSO_SCORED, TEST) if name in datasets}
    return PreparedRun(
        settings,
        plan,
        task,
        tokenizer,
        classifier,
        receipt,
        audit,
        reports,
        train,
        validation,
        signature,
        describe,
        long_texts,
        also,
        held_out,
        teaching=teaching,
    )


def _evaluations_line(plan: TrainingPlan, every: int, rows: int) -> str:
    """Says how often a run evaluates, or that it does no more often than without being told to."""
    steps = steps_in_epoch(rows, plan.batch_size)
    made = evaluations_in(plan.epochs, steps, every)
    epochs, all_steps = counted(plan.epochs, "epoch"), counted(plan.epochs * steps, "step")
    if made == plan.epochs:
        told = f"warning: --evaluate-every {every} adds no evaluation to those at the ends of epochs"
        return f"{told}: there are {all_steps}, {epochs} of {steps:,}"
    patience = f"; training stops after {plan.patience} without a better one" if plan.patience else ""
    return f"evaluation after every {counted(every, 'step')} and each epoch: {made:,} in {epochs}{patience}"


def with_seed(run: PreparedRun, seed: int, out: Path) -> PreparedRun:
    """Makes the same run of another seed, on the same data in memory; only the encoder is restored again.

    Args:
        run: what was prepared; stays as it is.
        seed: of the new run.
        out: its folder.
    """
    settings, config = replace(run.settings, out=out), replace(run.config, seed=seed)
    classifier, receipt, _ = _restore(settings, config, resolve_model(settings.model), run.tokenizer, run.task)
    classifier.to(run.classifier.device)
    return replace(run, settings=settings, config=config, classifier=classifier, receipt=receipt)


def _pooling_of(model: Path) -> Pooling:
    """Returns the pooling that a model was fine-tuned with: without it, a body that lacks the pooler cannot go on."""
    if (model / SIGNATURE_FILE).exists():
        return ModelSignature.read(model).pooling
    path = config_file(model)
    return read_config(path).pooling if path.is_file() else "cls"


def _restore(
    settings: RunSettings, config: TrainingConfig, folder: Path, tokenizer: Tokenizer, task: Task
) -> tuple[Classifier, Receipt, Head]:
    sizes = fitted_config(read_config(config_file(folder)), folder)
    if settings.max_length > sizes.max_positions:
        raise ConfigError(
            f"max_length ({settings.max_length}) exceeds the encoder's {sizes.max_positions} positions",
            hint=f"use --max-length {sizes.max_positions} or less",
        )
    check_lora(config, sizes)
    kept = None if settings.keep_layers is None else settings.layers_kept(sizes.num_hidden_layers)
    own_sizes = sizes if kept is None else cut_config(sizes, kept)
    check_reinit_layers(config.reinit_layers, own_sizes)
    check_freeze(config.freeze, config.reinit_layers, own_sizes)
    outputs = 1 if task.labels is None else len(task.labels)
    pooling = settings.pooling or "cls"
    classifier, encoder = undrawn_model(sizes, outputs, pooling=pooling)
    check_vocabulary(tokenizer, encoder, folder)
    receipt = restore(encoder, folder, allow_new=settings.allow_new).assert_consumed()
    if kept is not None:
        whole = encoder
        classifier, encoder = undrawn_model(own_sizes, outputs, pooling=pooling)
        copy_kept(whole, encoder, kept)
        receipt = cut_receipt(receipt, kept)
    new = {f"encoder.{record.name}" for record in receipt.having("new")}
    # A part of the head that lies in the encoder is new where the receipt says so.
    of_head = {name for name in encoder.family.head_names.rows if not name.startswith("encoder.")}
    draw_weights(classifier, seed=config.seed, only=new | of_head)
    head = head_of_start(classifier, folder, task, tokenizer_digest=tokenizer.digest, forced=settings.keep_head)
    head.put_into(classifier)
    return classifier, with_adapters(head.in_receipt(receipt), classifier, config), head


def _with_soft_labels(train: Dataset, examples: Examples | None, task: Task) -> Dataset:
    """Returns the training rows with their soft labels, where the table has such."""
    if examples is None or examples.soft is None or task.labels is None:
        return train
    return replace(train, soft=SoftTargets(examples.soft.in_order(task.labels)))


def _teacher_line(teaching: Teaching) -> str:
    unlabelled = len(teaching.examples) - teaching.labelled
    how = teaching.distillation
    rows = f"{teaching.labelled:,} rows with labels" + (f" and {unlabelled:,} without" if unlabelled else "")
    temperature = f", temperature {how.temperature:g}" if teaching.signature.kind.has_labels else ""
    return f"taught by {teaching.name}: {rows}; the teacher has {100 * how.mix:.3g} % of the loss{temperature}"


def _encoder_line(name: str, receipt: Receipt, head: Head, known: Collection[str], *, verbose: bool) -> str:
    """Says which weights training starts from, and which parts have none."""
    if verbose:
        return f"restored {name}: {receipt.summary()}; {'kept' if head.is_kept else 'new'}: the {head.account}"
    new = sorted({record.name.partition(".")[0] for record in receipt.having("new") if record.name in known})
    parts = [f"restored {name}: {receipt.parameters:,} parameters"]
    if not head.is_kept:
        new.append(head.account)
    if new:
        parts.append(f"new: {', '.join(new)}")
    if head.is_kept:
        parts.append(f"kept: {head.account}")
    return "; ".join(parts)


def _window_stride(settings: RunSettings, template: PairTemplate, *, is_pair: bool) -> int | None:
    return checked_stride(
        settings.long_text,
        settings.window_stride,
        template=template,
        max_length=settings.max_length,
        pairs=is_pair,
    )
