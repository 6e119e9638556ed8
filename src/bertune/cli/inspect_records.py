"""What `bertune inspect` finds out about data that were encoded before, here or by another tool."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bertune.checkpoints.model_files import config_file
from bertune.cli.inspect_data import Inspection
from bertune.cli.progress import RowsProgress
from bertune.data.formats.record_file import is_record_file
from bertune.data.formats.tfds_folder import find_tfds_folder
from bertune.data.split_files import splits_in_folder
from bertune.shards.manifest import Manifest, find_reencoded_splits, read_manifest
from bertune.shards.record_summary import FeatureSummary, RecordSummary, summarise_records, token_lengths
from bertune.shards.shared_manifest import missing_of, told_missing
from bertune.system.json_file import JsonObject
from bertune.wording.metric_text import part_of
from bertune.wording.nearest import shown_label


def reencoded_at(what: str) -> dict[str, Path]:
    """Gives the folders that `bertune encode` made at a path; a model folder is none."""
    return {} if config_file(Path(what)).is_file() else find_reencoded_splits(what)


def record_files_at(what: str) -> list[Path]:
    """Gives the TFRecord files at a path that are no other kind of data: the file, or those of a folder."""
    path = Path(what)
    if path.is_file():
        return [path] if is_record_file(path) else []
    if not path.is_dir() or find_tfds_folder(path) is not None or config_file(path).is_file():
        return []
    files = sorted(entry for entry in path.iterdir() if entry.is_file() and is_record_file(entry))
    return files if files and not splits_in_folder(path, None) else []


def inspect_reencoded(folders: Mapping[str, Path], *, quiet: bool = False) -> Inspection:
    """Reads every shard, so that each is known to be what was written, and shows what the folders hold."""
    lines: list[str] = []
    values: JsonObject = {}
    for name, folder in folders.items():
        manifest = read_manifest(folder)
        with RowsProgress("reading", sum(shard.rows for shard in manifest.shards), enabled=not quiet) as progress:
            lengths = token_lengths(folder, manifest, progress.advance).summary()
        lines += [f"{name}: {folder}" if name else str(folder), *_manifest_lines(manifest, lengths)]
        values[name] = {
            "path": str(folder),
            **manifest.to_dict(),
            "tokens": manifest.tokens,
            "truncated": manifest.truncated,
            "token_lengths": lengths,
            "shards_verified": len(manifest.shards),
            "shards_missing": list(missing_of(manifest)),
        }
    return Inspection(lines, values.get("", {"splits": values}))


def _manifest_lines(manifest: Manifest, lengths: Mapping[str, float]) -> list[str]:
    recipe = manifest.recipe
    lines = [f"  source      {manifest.source}", f"  encoded     {manifest.summary()}"]
    texts = "pairs" if recipe.is_pair else "single texts"
    own = recipe.task == "custom"
    lines.append(f"  task        {'own table' if own else recipe.task}, {recipe.kind}, {texts}")
    if own:
        columns = (f"{what} {column}" for what, column in manifest.columns.items() if column is not None)
        lines.append(f"  columns     {', '.join(columns)}")
    if manifest.label_counts:
        lines.append(f"  labels      {_shares(manifest.label_counts, manifest.rows)}")
    elif not manifest.labelled:
        lines.append("  labels      none")
    lines += _length_lines(lengths)
    lines.append(f"  tokenizer   {recipe.tokenizer_digest}")
    lines.append(f"  digests     all {len(manifest.shards)} finished shards match their SHA-256")
    lines += manifest.notes
    lines += [f"warning: {warning}" for warning in manifest.warnings]
    if manifest.refused:
        lines.append(f"warning: {len(manifest.refused):,} rows refused, the first: {manifest.refused[0]}")
    if not manifest.complete:
        lines.append(f"warning: {told_missing(manifest)}; run `bertune encode` for them again")
    return lines


def inspect_records(files: Sequence[Path], *, quiet: bool = False) -> Inspection:
    """Reads record files of any tool, checking every checksum, and shows their features."""
    lines: list[str] = []
    values: JsonObject = {}
    for file in files:
        with RowsProgress("reading", None, enabled=not quiet) as progress:
            summary = summarise_records([file], progress.advance)
        lines += _summary_lines(file, summary)
        values[file.name] = _summary_values(summary)
    lines.append("no manifest beside them: whether records are missing, and which tokenizer made them, is not known")
    return Inspection(lines, {"path": str(files[0].parent), "files": values})


def _summary_lines(file: Path, summary: RecordSummary) -> list[str]:
    padding = f", {summary.padding_rows:,} of them padding" if summary.padding_rows else ""
    lines = [f"{file}: {summary.records:,} records{padding}"]
    width = max((len(name) for name in summary.features), default=0)
    for name, feature in sorted(summary.features.items()):
        some = "" if feature.records == summary.records else f"  in {feature.records:,} records"
        lines.append(f"  {name:<{width}}  {'/'.join(sorted(feature.kinds)):<7}  {_shape(feature)}{some}")
    if summary.dialect is None:
        lines.append("  not encoded examples as training reads them: no input_ids or input_word_ids with their masks")
        return lines
    lines += _length_lines(summary.lengths.summary())
    if summary.label_counts:
        counts = {str(label): count for label, count in sorted(summary.label_counts.items())}
        lines.append(f"  labels      {_shares(counts, summary.label_counts.total())}")
    if targets := summary.target_summary():
        lines.append("  targets     " + ", ".join(f"{name} {value:.3g}" for name, value in targets.items()))
    return lines


def _summary_values(summary: RecordSummary) -> JsonObject:
    features = {
        name: {"types": sorted(feature.kinds), "records": feature.records, "shape": [feature.shortest, feature.longest]}
        for name, feature in sorted(summary.features.items())
    }
    return {
        "records": summary.records,
        "padding_rows": summary.padding_rows,
        "features": features,
        "dialect": summary.dialect,
        "token_lengths": summary.lengths.summary(),
        "label_counts": {str(label): count for label, count in sorted(summary.label_counts.items())},
        "targets": summary.target_summary(),
    }


def _shape(feature: FeatureSummary) -> str:
    if feature.shortest == feature.longest:
        return f"({feature.longest},)"
    return f"({feature.shortest} to {feature.longest},)"


def _length_lines(lengths: Mapping[str, float]) -> list[str]:
    if not lengths:
        return []
    shown = (f"{name} {value:,.1f}" if name == "mean" else f"{name} {value:,}" for name, value in lengths.items())
    return ["  tokens      " + ", ".join(shown)]


def _shares(counts: Mapping[str, int], rows: int) -> str:
    return ", ".join(f"{shown_label(label)} {count:,} ({part_of(count, rows)})" for label, count in counts.items())
