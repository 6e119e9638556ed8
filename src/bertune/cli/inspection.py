"""What `bertune inspect` finds out about a run, a model or data."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertune.checkpoints.contract import CONTRACT_FILE, Contract
from bertune.checkpoints.hub import resolve_model
from bertune.checkpoints.model_directory import load
from bertune.checkpoints.model_files import config_file, files_folder, find_model_folder, tokenizer_folder
from bertune.checkpoints.receipt import shape_text
from bertune.checkpoints.restore import restore
from bertune.checkpoints.tensor_bundle import TensorBundle
from bertune.checkpoints.tensorflow_names import find_prefix
from bertune.cli.fetching import FetchingProgress
from bertune.cli.progress import RowsProgress
from bertune.encoder.config import BertConfig
from bertune.encoder.encoder import Encoder
from bertune.errors import DataError
from bertune.heads.classifier import Classifier
from bertune.reports.run_files import read_scores
from bertune.studies.study_directory import StudyDirectory
from bertune.studies.summary import summarize
from bertune.text.audit import Audit, audit_sources
from bertune.text.examples import Columns, Examples, LabelSet, Task, TaskKind
from bertune.text.file_kind import SUFFIXES
from bertune.text.findings import counted
from bertune.text.glue import find_splits, glue_task
from bertune.text.header_faults import findings_of_header
from bertune.text.row_source import RowSource
from bertune.text.sources import OnBadRow, Quoting, open_table
from bertune.tokens.token_scan import TokenScan
from bertune.tokens.tokenizer import BertTokenizer


@dataclass(frozen=True)
class Inspection:
    """What was found, for people and for programs."""

    lines: list[str]
    values: dict[str, Any]
    model: Encoder | Classifier | None = None
    audit: Audit | None = None


def is_run(what: str) -> bool:
    """Whether it is a folder that `bertune train` made."""
    path = Path(what)
    return any((folder / CONTRACT_FILE).is_file() for folder in (path, path / "model"))


def is_model(what: str) -> bool:
    """Whether it is, or names, a pretrained encoder rather than data."""
    path = Path(what)
    if path.is_dir():
        return config_file(path).is_file() or find_prefix(path) is not None
    if path.exists():
        return path.suffix not in SUFFIXES
    return not what.startswith("hf://") and path.suffix not in SUFFIXES


def inspect_run(path: Path) -> Inspection:
    """Loads a fine-tuned model, checking every file, and shows its contract and scores."""
    folder = find_model_folder(path)
    model = load(folder)
    contract = model.contract
    scores = read_scores(path)
    lines = [f"model: {folder} (all files match their SHA-256)", *_contract_lines(contract)]
    lines += _config_lines(model.classifier.encoder.config)
    if scores is not None:
        lines.append(f"validation, {_whose(scores)}: {scores['validation']['verdict']}")
    values = {"model": str(folder), "contract": contract.to_dict(), "scores": scores}
    study = StudyDirectory(path).earlier()
    if study is not None and study.results:
        summary = summarize(study.results)
        lines += ["", *summary.lines()]
        values["seeds"] = summary.to_dict() | {"results": [result.to_dict() for result in summary.results]}
    return Inspection(lines, values, model.classifier)


def _whose(scores: dict[str, Any]) -> str:
    """Says which weights were scored: those of an epoch, of a seed's epoch, or an average of seeds."""
    since = ", before it was calibrated anew" if scores.get("calibrated_since") else ""
    if "average" in scores:
        return f"{scores['average']} of seeds {', '.join(str(seed) for seed in scores['seeds'])}{since}"
    epoch = f"epoch {scores['epoch']}"
    whose = f"seed {scores['seed']}, {epoch}" if "seed" in scores else epoch
    return whose + since


def inspect_model(name: str) -> Inspection:
    """Restores an encoder and shows its sizes, its tokenizer and the whole receipt."""
    with FetchingProgress() as progress:
        folder = resolve_model(name, on_progress=progress.show)
    checkpoint = find_prefix(folder)
    if checkpoint is not None and not config_file(folder).is_file():
        return _inspect_tensors(TensorBundle(checkpoint))
    config = BertConfig.from_json_file(config_file(folder))
    tokenizer = BertTokenizer.from_directory(tokenizer_folder(folder))
    encoder = Encoder.from_config(config)
    receipt = restore(encoder, folder, allow_new=["pooler"])
    lines = [f"encoder: {folder}", *_config_lines(config)]
    case = "lower-cased" if tokenizer.do_lower_case else "cased"
    lines.append(f"tokenizer: WordPiece, {tokenizer.vocab_size:,} pieces, {case}")
    lines += [f"receipt: {receipt.summary()}", *(f"  {line}" for line in receipt.lines())]
    values = {
        "path": str(folder),
        "config": config.to_dict(),
        "tokenizer": {"pieces": tokenizer.vocab_size, "do_lower_case": tokenizer.do_lower_case},
        "receipt": receipt.to_dict(),
    }
    return Inspection(lines, values, encoder)


def _inspect_tensors(bundle: TensorBundle) -> Inspection:
    """Lists a TensorFlow checkpoint whose configuration is not beside it, so that nothing can be restored."""
    tensors = [
        {"name": name, "shape": list(entry.shape), "dtype": entry.dtype} for name, entry in bundle.tensors.items()
    ]
    width = max((len(name) for name in bundle.tensors), default=0)
    numbers = sum(math.prod(entry.shape) for entry in bundle.tensors.values())
    lines = [f"TensorFlow checkpoint: {bundle.prefix}; no bert_config.json in {files_folder(bundle.prefix)}"]
    lines += [
        f"  {name:<{width}}  {shape_text(entry.shape):<14} {entry.dtype}" for name, entry in bundle.tensors.items()
    ]
    lines.append(f"{len(tensors)} tensors, {numbers:,} numbers")
    return Inspection(lines, {"path": str(bundle.prefix), "tensors": tensors, "numbers": numbers})


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """How `bertune inspect` audits data.

    Args:
        task: a GLUE task; None for columns of one's own.
        columns: of the table; None with a task.
        kind: what is learned from own columns.
        quoting: as for `read_examples`.
        on_bad_row: as for `read_examples`.
        model: whose tokenizer counts tokens; None counts characters alone.
        max_length: from which on tokens are cut off.
    """

    task: str | None = None
    columns: Columns | None = None
    kind: TaskKind = "classification"
    quoting: Quoting = "auto"
    on_bad_row: OnBadRow = "error"
    model: str | None = None
    max_length: int = 128


def inspect_data(data: str, options: AuditOptions) -> Inspection:
    """Audits all splits, row by row; without task and columns shows what columns there are."""
    task: Task | None = glue_task(options.task) if options.task else None
    if options.columns is not None:
        several = options.columns.several
        labels = LabelSet(tuple(map(str, several.columns))) if several is not None and several.columns else None
        task = Task.for_columns(options.columns, kind=options.kind, labels=labels)
    found = find_splits(data, task)
    if task is None:
        return _show_columns(found[next(iter(found))].paths, options.quoting)
    sources = {
        name: RowSource(split, task, options.columns, options.quoting, options.on_bad_row)
        for name, split in found.items()
    }
    scans = _token_scans(list(sources), options)
    with RowsProgress("reading", None) as progress:

        def see(name: str, examples: Examples) -> None:
            if name in scans:
                scans[name].add(examples)
            progress.advance(len(examples))

        audit = audit_sources(sources, on_chunk=see)
    for name, scan in scans.items():
        audit.add_tokens(name, scan.figures())
    return Inspection(audit.lines(), audit.to_dict(), audit=audit)


def _token_scans(names: list[str], options: AuditOptions) -> dict[str, TokenScan]:
    if options.model is None:
        return {}
    with FetchingProgress() as progress:
        folder = resolve_model(options.model, on_progress=progress.show)
    tokenizer = BertTokenizer.from_directory(tokenizer_folder(folder))
    return {name: TokenScan(tokenizer, options.max_length) for name in names}


def _show_columns(paths: tuple[Path, ...], quoting: Quoting) -> Inspection:
    if not paths:
        raise DataError("the columns of data on the hub are shown with a task or --text-a only")
    table = open_table(paths[0], quoting=quoting)
    names = list(table.names) if table.names is not None else [str(number) for number in range(table.width)]
    lines = [
        f"{paths[0]}: {counted(len(names), 'column')}",
        *(f"  {number}  {name}" for number, name in enumerate(names)),
    ]
    lines.append("audit it with --text-a NAME [--text-b NAME] --label NAME, or --task for a GLUE task")
    audit = Audit({}, findings_of_header(table))
    values = {"path": str(paths[0]), "columns": names, "findings": audit.to_dict()["findings"]}
    return Inspection([*lines, *audit.lines()], values, audit=audit)


def _contract_lines(contract: Contract) -> list[str]:
    texts = f"pairs ({contract.text_a}, {contract.text_b})" if contract.is_pair else f"single texts ({contract.text_a})"
    answers = f"labels in this order: {', '.join(contract.labels)}" if contract.labels else "a value"
    return [
        f"task: {contract.task or 'own table'}, {contract.kind}, {answers}",
        f"takes {texts}, at most {contract.max_length} tokens; pooling {contract.pooling}; from {contract.base_model}",
        *_further_lines(contract),
    ]


def _further_lines(contract: Contract) -> list[str]:
    """Says what is unusual about how texts are read and answers made."""
    lines = []
    if contract.long_text != "first":
        lines.append(f"longer texts: {contract.long_text_account()}")
    if contract.temperature != 1:
        lines.append(f"logits are divided by {contract.temperature:.3g} before they become probabilities")
    if contract.thresholds:
        names = contract.labels[-len(contract.thresholds) :]
        given = zip(names, contract.thresholds, strict=True)
        lines.append("given from: " + ", ".join(f"'{name}' {threshold:.3g}" for name, threshold in given))
    if contract.target_range is not None:
        low, high = contract.target_range
        lines.append(f"values stay between {low:g} and {high:g}")
    return lines


def _config_lines(config: BertConfig) -> list[str]:
    return [
        f"encoder: {config.num_hidden_layers} layers, {config.hidden_size} wide, {config.num_attention_heads} heads, "
        f"{config.intermediate_size} intermediate, {config.max_position_embeddings} positions, {config.hidden_act}"
    ]
