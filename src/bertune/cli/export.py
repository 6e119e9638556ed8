"""`bertune export`: the model, the texts of the proof, the stages."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bertune.cli.options import DataOptions, OutputOptions
from bertune.cli.terminal import keep_quiet, say, show, show_json
from bertune.errors import ConfigError
from bertune.exports.formats import FormatName, find_format

if TYPE_CHECKING:
    from bertune.cli.progress import RowsProgress
    from bertune.exports.agreement import Agreement
    from bertune.exports.proved_export import ExportProgress

_STAGES = {
    "predicting": "the model answers {rows:,} rows",
    "writing": "writing the export",
    "checking": "the export answers them in a fresh process",
}


@dataclass(frozen=True, kw_only=True)
class ProofOptions(DataOptions):
    """Which texts the proof is made on.

    Args:
        data: a table, a folder with splits, or hf://datasets/…; without it, the questions of the demo.
        split: which split of a folder, by default test.
    """


def export(
    run: Path,
    out: Path,
    options: Annotated[ProofOptions, Parameter(name="*")] = ProofOptions(),
    *,
    format: FormatName,
    output: Annotated[OutputOptions, Parameter(name="*")] = OutputOptions(),  # noqa: B008 (frozen)
) -> None:
    """Export a fine-tuned model to transformers, TensorFlow or ONNX, after a proof that the export equals it.

    Its temperature is folded into the head, so that other programs give its calibrated probabilities, too.

    The export is read again in a fresh process and answers at least 1,000 rows as the model does: all texts of the
    data, rows at the limits, and rows of random ids. What the proof found is in agreement.json; where it fails nothing
    is left behind.

    Args:
        run: a run or model folder.
        out: a new folder, or that of an earlier export, which is replaced.
        options: the texts of the proof.
        format: transformers, a folder for its pipelines and for whatever reads such a folder; tf_checkpoint, as Google
            publishes BERT; saved_model, which needs pip install "bertune[tensorflow]"; or onnx, for ONNX Runtime,
            OpenVINO and others, which needs pip install "bertune[onnx]".
        output: what is printed.
    """
    agreement = _export_model(run, out, options, format, tell=keep_quiet if output.quiet else say, quiet=output.quiet)
    if output.json:
        show_json({"out": str(out), **agreement.to_dict()})
    else:
        show([f"{out}: {format}, {agreement.summary()}", f"probabilities: {agreement.probabilities}"])


def _export_model(
    run: Path, out: Path, options: ProofOptions, name: FormatName, *, tell: Callable[[str], None], quiet: bool
) -> "Agreement":
    """Exports what the flags name.

    Args:
        run: a run or model folder.
        out: where to.
        options: which texts the proof is made on.
        name: of the format.
        tell: told each fact as a line.
        quiet: shows no progress.

    Raises:
        BertuneError: any part that cannot work; nothing is left behind.
    """
    from bertune.checkpoints.model_files import find_model_folder
    from bertune.checkpoints.model_folder import load
    from bertune.cli.model_data import read_for
    from bertune.exports.export_folder import check_replaceable
    from bertune.exports.proved_export import export

    # Both are checked again; here they come before the reading of the model.
    find_format(name)
    check_replaceable(out)
    model = load(find_model_folder(run))
    proof_rows = None
    if options.data is not None:
        rows, _ = read_for(model, options, require_label=False)
        if rows.texts is None:
            raise ConfigError(f"{options.data} was encoded before; the proof of an export needs texts")
        proof_rows = rows.texts
        for line in rows.report.lines():
            tell(line)
    elif (flags := asdict(options)) != asdict(ProofOptions()):
        given = next(flag for flag, value in flags.items() if value != asdict(ProofOptions())[flag])
        raise ConfigError(
            f"--{given.replace('_', '-')} describes data, and no --data are named", hint="add --data FILE"
        )
    with _Stages(tell, enabled=not quiet) as stages:
        agreement = export(model, out, format=name, proof_rows=proof_rows, on_progress=stages.show)
    for warning in agreement.warnings:
        tell(f"warning: {warning}")
    return agreement


class _Stages:
    """A line and, on a terminal, a bar for each stage of an export."""

    def __init__(self, tell: Callable[[str], None], *, enabled: bool) -> None:
        self._tell = tell
        self._enabled = enabled
        self._stage = ""
        self._done = 0
        self._bars = ExitStack()
        self._bar: RowsProgress | None = None

    def __enter__(self) -> "_Stages":
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.close()

    def show(self, progress: "ExportProgress") -> None:
        """Begins a stage, or moves its bar."""
        from bertune.cli.progress import RowsProgress

        if progress.stage != self._stage:
            self._bars.close()
            self._stage, self._done = progress.stage, 0
            self._tell(_STAGES[progress.stage].format(rows=progress.total))
            bar = RowsProgress(progress.stage, progress.total, enabled=self._enabled and progress.total > 0)
            self._bar = self._bars.enter_context(bar)
        if self._bar is not None:
            self._bar.advance(progress.rows - self._done)
        self._done = progress.rows
