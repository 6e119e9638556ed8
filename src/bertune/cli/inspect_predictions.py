"""What `bertune inspect` finds out about a folder of predictions."""

from collections import Counter
from pathlib import Path

from bertune.cli.inspect_data import Inspection
from bertune.errors import DataError
from bertune.evaluation.prediction_manifest import PredictionShard, read_prediction_manifest
from bertune.shards.shard_file import sha256_of
from bertune.shards.shared_manifest import missing_of, told_missing
from bertune.wording.metric_text import part_of
from bertune.wording.nearest import shown_label


def inspect_predictions(folder: Path) -> Inspection:
    """Reads every finished file, so that each is known to be what was written, and tells which are missing.

    Raises:
        DataError: a finished file is missing or not what was written.
    """
    manifest = read_prediction_manifest(folder)
    for shard in manifest.shards:
        _verify(folder, shard)
    counts: Counter[str] = Counter()
    for shard in manifest.shards:
        counts.update(shard.counts)
    rows = sum(shard.predicted for shard in manifest.shards)
    lines = [
        str(folder),
        f"  source      {manifest.source}, {manifest.rows:,} rows",
        f"  predicted   {manifest.summary()}",
    ]
    if counts:
        shares = (f"{shown_label(label)} {count:,} ({part_of(count, rows)})" for label, count in counts.items())
        lines.append(f"  labels      {', '.join(shares)}")
    lines += [f"  computed    {way}" for way in sorted({shard.computed_by for shard in manifest.shards})]
    lines.append(f"  digests     all {len(manifest.shards)} finished shards match their SHA-256")
    if not manifest.complete:
        lines.append(f"warning: {told_missing(manifest)}; run `bertune predict` for them again")
    values = {
        "path": str(folder),
        **manifest.to_dict(),
        "rows": manifest.rows,
        "shards_verified": len(manifest.shards),
        "shards_missing": list(missing_of(manifest)),
    }
    return Inspection(lines, values)


def _verify(folder: Path, shard: PredictionShard) -> None:
    path = folder / shard.name
    again = "run `bertune predict` again: it makes what is missing or changed"
    if not path.is_file():
        raise DataError(f"{path} is missing", hint=again)
    if path.stat().st_size != shard.bytes or sha256_of(path) != shard.sha256:
        raise DataError(f"{path} is not what was written: its digest differs from the manifest's", hint=again)
