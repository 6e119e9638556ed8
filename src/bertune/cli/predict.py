"""`bertune predict`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bertune.cli.answer_options import AnswerOptions
from bertune.cli.options import ComputeOptions, DataOptions, OutputOptions, refuse_flags
from bertune.errors import ConfigError

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
    answers: Annotated[AnswerOptions, Parameter(name="*")] = AnswerOptions(),  # noqa: B008 (frozen)
    glue_submission: Path | None = None,
    explaining: Annotated[ExplainOptions, Parameter(name="*")] = ExplainOptions(),
    compute: Annotated[ComputeOptions, Parameter(name="*")] = ComputeOptions(),  # noqa: B008 (frozen)
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

    Args:
        run: a run or model folder.
        texts: a text to answer, or the two texts of a pair.
        options: which data.
        answers: where the answers go.
        glue_submission: of a model of a GLUE task: write what is predicted for its test sets into this folder (or file)
            as the leaderboard takes it.
        explaining: whether and how answers are explained.
        compute: where and how.
        output: what is printed.
    """
    from bertune.checkpoints.model_files import find_model_folder
    from bertune.checkpoints.model_folder import load
    from bertune.cli.answering import Answering, answer_examples, answer_lines, examples_for, tell_reading
    from bertune.cli.explaining import explain_rows
    from bertune.cli.terminal import keep_quiet, say, show, show_json
    from bertune.data.kept_columns import KeptColumns
    from bertune.nn.device import choose_device

    explain, quiet = explaining.explain, output.quiet
    tell = keep_quiet if quiet else say
    if not explain:
        refuse_flags("without --explain nothing is explained", explaining.flags())
    else:
        refuse_flags("explanations are shown", answers.flags())
        refuse_flags("explanations are computed in fp32", {"precision": compute.precision != "fp32"})
    if glue_submission is not None:
        refuse_flags("a submission holds labels alone", {"explain": explain} | answers.flags())
        if texts:
            raise ConfigError("a submission holds the test sets of the task, not texts", hint="leave the texts out")
    answers.check(options.data)
    model = load(find_model_folder(run))
    model.classifier.to(choose_device(compute.device))
    if glue_submission is not None:
        from bertune.cli.submission import write_submission

        files = write_submission(
            model, options, glue_submission, precision=compute.precision, tell=tell, show_progress=not quiet
        )
        show_json({"files": [str(file) for file in files]}) if output.json else show(map(str, files))
        return
    how = Answering(
        precision=compute.precision, as_json=output.json, quiet=quiet or bool(texts), tell=keep_quiet if texts else tell
    )
    if options.data is None:
        refuse_flags("no table is read", {"keep": answers.keep is not None})
    if not texts and options.data is None and answers.out is None and not explain:
        if sys.stdin is None:
            raise ConfigError("standard input is closed", hint="name the texts with --data")
        refuse_flags(
            "without --data, standard input is read", options.table_flags() | {"split": options.split is not None}
        )
        answer_lines(model, answers, how)
        return
    kept = None if answers.keep is None else KeptColumns(answers.kept_names)
    examples = examples_for(model, options, texts, kept)
    if not texts:
        tell_reading(examples, options, model.signature, tell)
    if explain:
        method, has_lines = explaining.explain_by or "integrated-gradients", options.data is not None
        explain_rows(model, examples, method, explaining.limit, has_lines=has_lines, as_json=output.json, quiet=quiet)
        return
    answer_examples(model, examples, kept, options, answers, how)
