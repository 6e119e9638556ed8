"""`bertune predict --shards S --out FOLDER`: any number of rows, by one process or many."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bertune.cli.options import DataOptions, OutputOptions, SpreadCompute
from bertune.cli.prediction_options import PredictionOptions
from bertune.cli.terminal import keep_quiet, say, show, show_json
from bertune.data.several_names import name_of
from bertune.errors import ConfigError
from bertune.wording.counts import counted

if TYPE_CHECKING:
    from bertune.evaluation.prediction_manifest import PredictionManifest


@dataclass(frozen=True)
class Spread:
    """What the command line says beside the model and the data.

    Args:
        destination: where predictions go.
        compute: where and how.
        output: what is printed.
    """

    destination: PredictionOptions
    compute: SpreadCompute
    output: OutputOptions


def predict_spread(run: Path, names: tuple[str, ...], options: DataOptions, how: Spread) -> None:
    """Predicts tables into a folder of Parquet files, or this process's share of them.

    Args:
        run: folder of the run or model.
        names: tables; none where they are named by `options`.
        options: which data, and how to read them.
        how: see there.

    Raises:
        BertuneError: any part that cannot work; finished files stay.
    """
    from bertune.checkpoints.model_files import find_model_folder
    from bertune.checkpoints.read_signature import read_signature
    from bertune.cli.model_source import missing_columns_named, source_for
    from bertune.evaluation.predict_shards import PredictionSettings, WhoPredicts, predict_shards
    from bertune.shards.manifest import find_reencoded_splits
    from bertune.shards.shared_manifest import told_missing

    out, shards = how.destination.check_folder(how.compute)
    data = _data(names, options)
    settings = PredictionSettings(
        shards=shards,
        key=how.destination.key_names,
        top_k=how.destination.top_k,
        precision=how.compute.precision,
        device=how.compute.device,
    )
    model = find_model_folder(run)
    signature = read_signature(model)
    if find_reencoded_splits(data):
        raise ConfigError(f"{data} was encoded before, and holds no rows of a table", hint="name the table itself")
    source = source_for(signature, options, data)
    tell = keep_quiet if how.output.quiet else say
    began = time.perf_counter()
    with how.compute.open_engine() as engine, _Progress(enabled=not how.output.quiet) as progress:
        who = WhoPredicts(shard=how.compute.number(), engine=engine, on_plan=progress.begin, on_rows=progress.advance)
        with missing_columns_named(signature, options, require_label=False):
            manifest = predict_shards(model, signature, source, out, settings, who)
    seconds = time.perf_counter() - began
    if manifest.kept:
        tell(f"{counted(len(manifest.kept), 'shard')} finished before, kept as they are")
    tell(f"{progress.rows:,} rows predicted in {seconds:.1f} s, {progress.rows / seconds:,.0f} rows/s")
    if len(ways := sorted({shard.computed_by for shard in manifest.shards})) > 1:
        tell(f"warning: shards were computed in different ways, so that last digits differ: {'; '.join(ways)}")
    if not manifest.complete:
        tell(told_missing(manifest))
    if how.output.json:
        show_json({"folder": str(out), **manifest.to_dict()})
    else:
        show([f"{manifest.summary()} in {out}"])


def _data(names: tuple[str, ...], options: DataOptions) -> str:
    if names and options.data is not None:
        raise ConfigError("the tables are named twice", hint="leave --data or the other names out")
    if not names and options.data is None:
        raise ConfigError("no table is named", hint="name it: bertune predict RUN FILE --shards 4 --out FOLDER")
    return options.data if options.data is not None else name_of(names)


class _Progress:
    """A bar of the rows on a terminal, a line every half minute elsewhere.

    Args:
        enabled: False shows nothing.
    """

    _SECONDS_BETWEEN_LINES = 30.0

    def __init__(self, *, enabled: bool) -> None:
        from bertune.cli.progress import RowsProgress

        self._enabled = enabled
        self._bar = RowsProgress("predicting", None, enabled=enabled)
        self._total = 0
        self._began = self._last_line = time.perf_counter()
        self.rows = 0

    def __enter__(self) -> "_Progress":
        self._bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(None, None, None)

    def begin(self, _: "PredictionManifest", rows: int) -> None:
        """Begins, when it is known how many rows are to be predicted."""
        self._total = rows
        self._bar.total(rows)
        self._began = self._last_line = time.perf_counter()

    def advance(self, rows: int) -> None:
        """Moves the bar."""
        self.rows += rows
        self._bar.advance(rows)
        now = time.perf_counter()
        if self._enabled and not self._bar.is_shown and now - self._last_line >= self._SECONDS_BETWEEN_LINES:
            self._last_line = now
            rate = self.rows / (now - self._began)
            left = (self._total - self.rows) / max(rate, 1e-9)
            say(f"predicting: {self.rows:,} of {self._total:,} rows, {rate:,.0f} rows/s, {left:,.0f} s left")
