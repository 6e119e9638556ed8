"""The work of `bertune export`: the model, the texts of the proof, progress."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from bertune.checkpoints.model_files import find_model_folder
from bertune.checkpoints.model_folder import load
from bertune.cli.model_data import read_for
from bertune.cli.progress import RowsProgress
from bertune.cli.proof_options import ProofOptions
from bertune.data.examples import Examples
from bertune.errors import ConfigError
from bertune.exports.agreement import Agreement
from bertune.exports.export_folder import check_replaceable
from bertune.exports.formats import FormatName, find_format
from bertune.exports.proved_export import ExportProgress, export

_STAGES = {
    "predicting": "the model answers {rows:,} rows",
    "writing": "writing the export",
    "checking": "the export answers them in a fresh process",
}


def export_model(
    run: Path, out: Path, options: ProofOptions, name: FormatName, *, say: Callable[[str], None], quiet: bool
) -> Agreement:
    """Exports what the flags name.

    Args:
        run: a run or model folder.
        out: where to.
        options: which texts the proof is made on.
        name: of the format.
        say: told each fact as a line.
        quiet: shows no progress.

    Raises:
        BertuneError: any part that cannot work; nothing is left behind.
    """
    # Both are checked again; here they come before the reading of the model.
    find_format(name)
    check_replaceable(out)
    model = load(find_model_folder(run))
    proof_rows: Examples | None = None
    if options.data is not None:
        examples, _ = read_for(model, options, require_label=False)
        if not isinstance(examples, Examples):
            raise ConfigError(f"{options.data} was encoded before; the proof of an export needs texts")
        proof_rows = examples
        for line in examples.report.lines():
            say(line)
    elif (flags := asdict(options)) != asdict(ProofOptions()):
        given = next(flag for flag, value in flags.items() if value != asdict(ProofOptions())[flag])
        raise ConfigError(
            f"--{given.replace('_', '-')} describes data, and no --data are named", hint="add --data FILE"
        )
    with _Stages(say, enabled=not quiet) as stages:
        agreement = export(model, out, format=name, proof_rows=proof_rows, on_progress=stages.show)
    for warning in agreement.warnings:
        say(f"warning: {warning}")
    return agreement


class _Stages:
    """A line and, on a terminal, a bar for each stage of an export."""

    def __init__(self, say: Callable[[str], None], *, enabled: bool) -> None:
        self._say = say
        self._enabled = enabled
        self._stage = ""
        self._done = 0
        self._bars = ExitStack()
        self._bar: RowsProgress | None = None

    def __enter__(self) -> "_Stages":
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.close()

    def show(self, progress: ExportProgress) -> None:
        """Begins a stage, or moves its bar."""
        if progress.stage != self._stage:
            self._bars.close()
            self._stage, self._done = progress.stage, 0
            self._say(_STAGES[progress.stage].format(rows=progress.total))
            bar = RowsProgress(progress.stage, progress.total, enabled=self._enabled and progress.total > 0)
            self._bar = self._bars.enter_context(bar)
        if self._bar is not None:
            self._bar.advance(progress.rows - self._done)
        self._done = progress.rows
