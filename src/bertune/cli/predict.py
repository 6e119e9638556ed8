"""`bertune predict`: texts of a table, of the command line, or of standard input."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bertune.cli.options import ComputeOptions, DataOptions, OutputOptions, SpreadCompute, refuse_flags
from bertune.cli.prediction_options import PredictionOptions
from bertune.cli.terminal import keep_quiet, printable, say, show, show_json
from bertune.errors import ConfigError
from bertune.wording.nearest import shorten

if TYPE_CHECKING:
    from bertune.checkpoints.signature import ModelSignature
    from bertune.data.kept_columns import KeptColumns
    from bertune.evaluation.labelled_rows import LabelledRows
    from bertune.evaluation.prediction_rows import PredictionColumns
    from bertune.evaluation.predictor import Predictor, TokenizedModel

ExplainBy = Literal["integrated-gradients", "occlusion"]


@dataclass(frozen=True, kw_only=True)
class ExplainOptions:
    """Whether and how answers are explained.

    Args:
        explain: say of each word how much it spoke for the answer or against it, in the place of the columns.
        explain_by: how; integrated-gradients by default, whose numbers add up to the answer.
        limit: explain only so many rows, the first; more than 1,000 are not explained without.
    """

    explain: bool = False
    explain_by: ExplainBy | None = None
    limit: int | None = None

    def flags(self) -> dict[str, bool]:
        """Tells of each flag that says how whether it is set."""
        return {"explain_by": self.explain_by is not None, "limit": self.limit is not None}


@dataclass(frozen=True, kw_only=True)
class PredictedData(DataOptions):
    """Which texts are predicted.

    Args:
        data: a table, a folder with splits, one made by `bertune encode`, or hf://datasets/…; by default lines of
            standard input.
        split: which split of a folder, by default test.
    """


@dataclass(frozen=True, kw_only=True)
class PredictedOutput(OutputOptions):
    """What is printed.

    Args:
        json: print one JSON object a line, with the row's place and the probability of every label.
    """


def predict(
    run: Path,
    *texts: str,
    options: Annotated[PredictedData, Parameter(name="*")] = PredictedData(),
    destination: Annotated[PredictionOptions, Parameter(name="*")] = PredictionOptions(),  # noqa: B008 (frozen)
    glue_submission: Path | None = None,
    explaining: Annotated[ExplainOptions, Parameter(name="*")] = ExplainOptions(),
    compute: Annotated[SpreadCompute, Parameter(name="*")] = SpreadCompute(),  # noqa: B008 (frozen)
    output: Annotated[PredictedOutput, Parameter(name="*")] = PredictedOutput(),
) -> None:
    """Predict texts with a fine-tuned model: those named, those of a file or folder, or lines of standard input.

    Of a folder its test split is read unless another is named. Without texts and --data, each line of standard input is
    a text, or the two texts of a pair with a tab between them, and is answered as it comes; on a terminal you are asked
    for texts.

    On a terminal the answers are aligned, texts broken into three lines at most. Into a pipe they are written as a
    tab-separated table: the row's place in the data, the texts under the names of their columns (or what --keep names),
    the predicted label and the probability of each label. With --out the same table is a file. A row that
    --on-bad-row skip leaves out stands in its place, with the reason. For data made by `bertune encode`, which hold no
    texts, the position of each row in the data set stands first instead.

    For any number of rows, --shards 8 --out FOLDER writes so many Parquet files, at constant memory; then tables may
    stand in the place of texts: predict RUN 'part-*.parquet'. Processes of a job array share the files by --shard I/N.

    Args:
        run: a run or model folder, or an export to ONNX, which is run without torch.
        texts: a text to answer, or the two texts of a pair; with --shards or --shard, tables.
        options: which data.
        destination: where the answers go.
        glue_submission: of a model of a GLUE task: write what is predicted for its test sets into this folder (or file)
            as the leaderboard takes it.
        explaining: whether and how answers are explained.
        compute: where and how, and by how many processes.
        output: what is printed.
    """
    if compute.is_spread or destination.shards is not None:
        from bertune.cli.predict_spread import Spread, predict_spread

        refuse_flags("files of --shards hold predictions", {"explain": explaining.explain} | explaining.flags())
        refuse_flags("files of --shards hold no submission", {"glue_submission": glue_submission is not None})
        predict_spread(run, texts, options, Spread(destination, compute, output))
        return
    _ = compute.number()  # refuses flags without effect
    explain, quiet = explaining.explain, output.quiet
    tell = keep_quiet if quiet else say
    if not explain:
        refuse_flags("without --explain nothing is explained", explaining.flags())
    else:
        refuse_flags("explanations are shown", destination.flags())
        refuse_flags("explanations are computed in fp32", {"precision": compute.precision != "fp32"})
    if glue_submission is not None:
        refuse_flags("a submission holds labels alone", {"explain": explain} | destination.flags())
        if texts:
            raise ConfigError("a submission holds the test sets of the task, not texts", hint="leave the texts out")
    destination.check(options.data)
    model = _opened(run, compute, explain=explain)
    if glue_submission is not None:
        from bertune.cli.predict_submission import write_submission

        files = write_submission(model, options, glue_submission, tell=tell, show_progress=not quiet)
        show_json({"files": [str(file) for file in files]}) if output.json else show(map(str, files))
        return
    how = _Predicting(as_json=output.json, quiet=quiet or bool(texts), tell=keep_quiet if texts else tell)
    if options.data is None:
        refuse_flags("no table is read", {"keep": destination.keep is not None})
    if not texts and options.data is None and destination.out is None and not explain:
        if sys.stdin is None:
            raise ConfigError("standard input is closed", hint="name the texts with --data")
        refuse_flags(
            "without --data, standard input is read", options.table_flags() | {"split": options.split is not None}
        )
        _predict_lines(model, destination, how)
        return
    kept = None
    if destination.keep is not None:
        from bertune.data.kept_columns import KeptColumns

        kept = KeptColumns(destination.kept_names)
    rows = rows_for(model, options, texts, kept)
    if not texts:
        tell_reading(rows, options, model.signature, tell)
    if explain:
        from bertune.cli.predict_explain import explain_rows
        from bertune.evaluation.classifier_predictor import ClassifierPredictor

        assert isinstance(model, ClassifierPredictor)
        if rows.texts is None:
            raise ConfigError(
                f"{options.data} holds no texts whose words could be explained", hint="name the table it was made of"
            )
        method, has_lines = explaining.explain_by or "integrated-gradients", options.data is not None
        how_many = explaining.limit
        explain_rows(model.model, rows.texts, method, how_many, has_lines=has_lines, as_json=output.json, quiet=quiet)
        return
    _predict_rows(model, rows, kept, options, destination, how)


@dataclass(frozen=True, kw_only=True)
class _Predicting:
    """How predictions are told.

    Args:
        as_json: JSON on standard output.
        quiet: no progress.
        tell: told what is going on.
    """

    as_json: bool
    quiet: bool
    tell: Callable[[str], None]


def _opened(run: Path, compute: ComputeOptions, *, explain: bool) -> "Predictor":
    """Loads a fine-tuned model, or an export, which needs no torch.

    Raises:
        BertuneError: it cannot be read, or a flag would have no effect on an export.
    """
    from bertune.runtime.export_files import read_format

    if read_format(run) == "onnx":
        from bertune.runtime.exported_model import ExportedModel

        refuse_flags("an export computes as it was made", compute.flags())
        hint = "name the run that was exported"
        refuse_flags("an export gives logits alone", {"explain": explain}, hint=hint)
        return ExportedModel.load(run)
    from bertune.checkpoints.model_files import find_model_folder
    from bertune.checkpoints.model_folder import load
    from bertune.evaluation.classifier_predictor import ClassifierPredictor
    from bertune.nn.device import choose_device

    model = load(find_model_folder(run))
    model.classifier.to(choose_device(compute.device))
    return ClassifierPredictor(model, compute.precision)


def rows_for(
    model: "TokenizedModel", options: DataOptions, texts: tuple[str, ...], kept: "KeptColumns | None"
) -> "LabelledRows":
    """Reads what is to be predicted: texts of the command line, or what the options name.

    Raises:
        ConfigError: both; texts that do not fit the model or are files; or as `read_for`.
        DataError: as `read_for`.
    """
    from bertune.data.examples import Examples
    from bertune.evaluation.labelled_rows import TextRows

    if not texts:
        from bertune.cli.model_data import read_for

        return read_for(model, options, require_label=False, kept=kept)[0]
    flags = options.table_flags() | {"data": options.data is not None, "split": options.split is not None}
    refuse_flags("the texts are named", flags, hint="leave out the texts or the flag")
    for text in texts:
        if len(text) < 4096 and "\0" not in text and Path(text).is_file():
            raise ConfigError(f"{text} is a file, not a text", hint=f"to predict its rows: --data {text}")
    if not model.signature.is_pair:
        return TextRows(Examples.from_lists(texts, name="command line"))
    if len(texts) != 2:
        raise ConfigError(
            f"this model takes pairs, got {len(texts)} text{'s' if len(texts) > 1 else ''}",
            hint='name two texts: bertune predict RUN "first text" "second text"',
        )
    return TextRows(Examples.from_lists(texts[:1], texts[1:], name="command line"))


def tell_reading(
    rows: "LabelledRows",
    options: DataOptions,
    signature: "ModelSignature",
    tell: Callable[[str], None],
) -> None:
    """Tells how many rows were read, and what looks wrong about them."""
    report = rows.report
    tell(report.summary())
    for warning in report.warnings:
        tell(f"warning: {warning}")
    column = signature.text_a if options.text_a is None else options.text_a
    if rows.texts is not None and report.header and str(column).isdecimal() and str(column) != report.header[0]:
        first = ", ".join(f"'{shorten(name)}'" for name in report.header)
        tell(f"warning: {report.path}: the first row was taken as the names of columns and is not answered: {first}")


def _predict_rows(
    model: "Predictor",
    rows: "LabelledRows",
    kept: "KeptColumns | None",
    options: DataOptions,
    destination: PredictionOptions,
    how: _Predicting,
) -> None:
    """Predicts what was read, and writes or shows all predictions."""
    from bertune.cli.prediction_output import PredictionWriter
    from bertune.cli.progress import RowsProgress
    from bertune.evaluation.prediction_files import write_predictions
    from bertune.evaluation.prediction_rows import prediction_columns, prediction_rows
    from bertune.evaluation.predictions import predictions_by

    columns = prediction_columns(
        model.signature,
        rows,
        kept,
        top_k=destination.top_k,
        has_not_read=options.on_bad_row == "skip",
        has_lines=options.data is not None,
    )
    _tell_renamed(columns, how.tell)
    with RowsProgress("predicting", len(rows), enabled=not how.quiet) as progress:
        predictions = predictions_by(model, rows, on_batch=progress.advance)
    how.tell(f"computed in {predictions.computed_by}; {predictions.long_texts.summary()}")
    predicted = prediction_rows(columns, rows, predictions, kept)
    if destination.out is None:
        PredictionWriter(columns, as_json=how.as_json).show(predicted)
        return
    assert destination.format is not None
    write_predictions(destination.out, destination.format, columns, predicted, formula_safe=destination.formula_safe)
    if how.as_json:
        show_json({"file": str(destination.out), "rows": rows.report.rows_in, "answers": len(predictions)})
    else:
        show([str(destination.out)])


def _predict_lines(model: "Predictor", destination: PredictionOptions, how: _Predicting) -> None:
    """Predicts lines of standard input as they come, and flushes the predictions; on a terminal it asks for texts.

    Raises:
        DataError: a line that cannot be used; those before are predicted.
    """
    from bertune.cli.prediction_output import PredictionWriter, prediction_line
    from bertune.data.formats.arriving_lines import arriving_examples, typed_examples
    from bertune.data.read_report import ReadReport
    from bertune.evaluation.labelled_rows import TextRows
    from bertune.evaluation.prediction_rows import PredictionColumns, prediction_rows, text_names
    from bertune.evaluation.predictions import predictions_by

    stream = sys.stdin.buffer
    names = text_names(model.signature)
    columns = PredictionColumns(("row",), names, model.signature, destination.top_k)
    output = PredictionWriter(columns, as_json=how.as_json)
    is_typed = sys.stdin.isatty()
    if is_typed:
        how.tell("type a text and Enter; Ctrl-D ends")
        batches = typed_examples(stream, _ask, names)
    else:
        batches = arriving_examples(stream, pair=model.signature.is_pair is True)
    rows = blank = 0
    long_texts = None
    computed_by = ""
    for examples in batches:
        given = TextRows(examples)
        predictions = predictions_by(model, given)
        if is_typed and sys.stdout.isatty() and not how.as_json:
            (prediction,) = predictions
            show([prediction_line(columns, prediction)])
            sys.stdout.flush()
        else:
            output.show(prediction_rows(columns, given, predictions, rows_before=rows))
        rows += len(examples)
        blank += examples.report.blank_texts
        computed_by = predictions.computed_by
        long_texts = predictions.long_texts if long_texts is None else long_texts + predictions.long_texts
    if is_typed:
        sys.stderr.write("\n")
    elif long_texts is not None:
        how.tell(ReadReport("standard input", rows, rows, [], blank).summary())
        how.tell(f"computed in {computed_by}; {long_texts.summary()}")


def _ask(name: str) -> None:

    sys.stderr.write(f"{printable(name)}> ")
    sys.stderr.flush()


def _tell_renamed(columns: "PredictionColumns", tell: Callable[[str], None]) -> None:
    for name, ours in columns.renamed.items():
        tell(f"the table has a column {name!r}, so that of the answers is called {ours!r}")
