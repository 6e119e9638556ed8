"""`bertune export`: the model, the texts of the proof, the stages."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bertune.cli.export_stages import ExportStages
from bertune.cli.options import DataOptions, OutputOptions
from bertune.cli.terminal import keep_quiet, say, show, show_json
from bertune.errors import ConfigError
from bertune.exports.formats import FormatName, Inputs, find_format

if TYPE_CHECKING:
    from bertune.data.examples import Examples
    from bertune.exports.agreement import Agreement


@dataclass(frozen=True, kw_only=True)
class ProofOptions(DataOptions):
    """Which texts the proof is made on.

    Args:
        data: a table, a folder with splits, or hf://datasets/…; without it, the questions of the demo.
        split: which split of a folder, by default test.
    """


@dataclass(frozen=True, kw_only=True)
class FormOptions:
    """In which form of its format a model is exported.

    Args:
        int8: of onnx: multiply 8-bit integers, a quarter of the size and faster. Kept only if at least 99 % of the
            labels of the run's validation rows (or of --data) stay and the metric loses at most a point.
        label: column of the label in --data, for --int8, if not the one of training.
        inputs: of saved_model: text, to take strings, which its graph tokenizes exactly as bertune does, and to give
            names of labels and probabilities; or ids, of tokens.
    """

    int8: bool = False
    label: str | None = None
    inputs: Inputs = "ids"


def export(
    run: Path,
    out: Path,
    options: Annotated[ProofOptions, Parameter(name="*")] = ProofOptions(),
    *,
    format: FormatName,
    form: Annotated[FormOptions, Parameter(name="*")] = FormOptions(),
    output: Annotated[OutputOptions, Parameter(name="*")] = OutputOptions(),  # noqa: B008 (frozen)
) -> None:
    """Export a fine-tuned model to transformers, TensorFlow or ONNX, after a proof that the export equals it.

    Its temperature is folded into the head, so that other programs give its calibrated probabilities, too.

    The export is read again in a fresh process and answers at least 1,000 rows as the model does: all texts of the
    data, rows at the limits, and rows of random ids. What the proof found is in agreement.json, how fast export and
    model are in proof.json; where it fails nothing is left behind. bertune verify proves it again elsewhere.

    Args:
        run: a run or model folder.
        out: a new folder, or that of an earlier export, which is replaced.
        options: the texts of the proof.
        format: transformers, a folder for its pipelines and for whatever reads such a folder; tf_checkpoint, as Google
            publishes BERT; saved_model, which needs pip install "bertune[tensorflow]"; or onnx, for ONNX Runtime,
            OpenVINO and others, which needs pip install "bertune[onnx]".
        form: which form of the format.
        output: what is printed.
    """
    wanted = _Wanted(run, out, options, format, form)
    agreement = _export_model(wanted, tell=keep_quiet if output.quiet else say, quiet=output.quiet)
    if output.json:
        show_json({"out": str(out), **agreement.to_dict(), "proof": agreement.proof()})
    else:
        quantized = [] if agreement.int8 is None else [agreement.int8.summary()]
        probabilities = f"probabilities: {agreement.probabilities}"
        show([f"{out}: {format}, {agreement.summary()}", *quantized, probabilities, *agreement.speed_lines()])


@dataclass(frozen=True)
class _Wanted:
    """What the flags name.

    Args:
        run: a run or model folder.
        out: where to.
        options: which texts the proof is made on.
        name: of the format.
        form: which form of it.
    """

    run: Path
    out: Path
    options: ProofOptions
    name: FormatName
    form: FormOptions


def _export_model(wanted: _Wanted, *, tell: Callable[[str], None], quiet: bool) -> "Agreement":
    """Exports what the flags name.

    Args:
        wanted: what they say.
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
    chosen = find_format(wanted.name, wanted.form.inputs)
    if wanted.form.int8 and chosen.quantize is None:
        raise ConfigError(f"{wanted.name} has no int8", hint="take --format onnx, or leave out --int8")
    if wanted.form.label is not None and not (wanted.form.int8 and wanted.options.data is not None):
        raise ConfigError("--label has no effect without --int8 and --data", hint="leave it out, or add them")
    check_replaceable(wanted.out)
    model = load(find_model_folder(wanted.run))
    options, proof_rows, labelled = wanted.options, None, None
    if options.data is not None:
        rows, _ = read_for(model, options, require_label=wanted.form.int8, label=wanted.form.label)
        if rows.texts is None:
            raise ConfigError(f"{options.data} was encoded before; the proof of an export needs texts")
        proof_rows = rows.texts
        labelled = rows.texts if wanted.form.int8 else None
        for line in rows.report.lines():
            tell(line)
    elif (flags := asdict(options)) != asdict(ProofOptions()):
        given = next(flag for flag, value in flags.items() if value != asdict(ProofOptions())[flag])
        raise ConfigError(
            f"--{given.replace('_', '-')} describes data, and no --data are named", hint="add --data FILE"
        )
    elif wanted.form.int8:
        labelled = _validation_rows_of(wanted.run)
    with ExportStages(tell, enabled=not quiet) as stages:
        agreement = export(
            model,
            wanted.out,
            format=wanted.name,
            proof_rows=proof_rows,
            int8=labelled,
            inputs=wanted.form.inputs,
            on_progress=stages.show,
        )
    for warning in agreement.warnings:
        tell(f"warning: {warning}")
    return agreement


def _validation_rows_of(run: Path) -> "Examples":
    """Reads the validation rows that a run keeps; texts that were cut there are left out.

    Raises:
        ConfigError: a folder that has none.
        DataError: the file is damaged.
    """
    from bertune.data.examples import Examples
    from bertune.reports.compared_runs import read_compared_run
    from bertune.training.run_rows import MOST_CHARACTERS

    if not (run / "run.toml").is_file():
        raise ConfigError(
            f"{run} is a model without its run, so there are no validation rows in it to prove int8 on",
            hint="name labelled rows with --data FILE, or the folder of the run",
        )
    kept = [
        row
        for row in read_compared_run(run).rows
        if row.text_a is not None and max(len(row.text_a), len(row.text_b or "")) < MOST_CHARACTERS
    ]
    if not kept:
        raise ConfigError(f"{run} keeps no texts of its validation rows", hint="name labelled rows with --data FILE")
    first = [row.text_a or "" for row in kept]
    second = None if kept[0].text_b is None else [row.text_b or "" for row in kept]
    return Examples.from_lists(first, second, [row.target for row in kept], name=f"{run}/validation.jsonl")
