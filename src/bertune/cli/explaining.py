"""`bertune predict --explain`."""

import sys

from bertune.checkpoints.model_folder import LoadedModel
from bertune.cli.answer_files import json_line, json_record
from bertune.cli.answer_rows import answer_columns, answer_rows
from bertune.cli.explanations import show_explanations
from bertune.cli.progress import RowsProgress
from bertune.data.examples import Examples
from bertune.errors import ConfigError
from bertune.evaluation.encoded_folder import ReencodedExamples
from bertune.evaluation.explain import Method, explain

# An explanation costs as much as dozens of predictions.
_MOST_ROWS = 1000


def explain_rows(
    model: LoadedModel,
    examples: Examples | ReencodedExamples,
    method: Method,
    limit: int | None,
    *,
    has_lines: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Explains the answers to examples, and shows them.

    Args:
        model: answers.
        examples: with their texts.
        method: how to explain.
        limit: rows to explain, the first ones; None explains all.
        has_lines: see `answer_columns`.
        as_json: one JSON object a line.
        quiet: no progress.

    Raises:
        ConfigError: examples without texts, a limit below 1, or many rows without a limit.
    """
    if isinstance(examples, ReencodedExamples):
        raise ConfigError(
            f"{examples.folder} holds no texts whose words could be explained", hint="name the table it was made of"
        )
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit must be at least 1, not {limit}")
    if limit is None and len(examples) > _MOST_ROWS:
        raise ConfigError(
            f"{len(examples):,} rows are many to explain: each costs as much as dozens of predictions",
            hint=f"add --limit, for instance --limit {_MOST_ROWS}",
        )
    chosen = examples if limit is None else examples.select(range(min(limit, len(examples))))
    with RowsProgress("explaining", len(chosen), enabled=not quiet) as progress:
        explanations = explain(model, chosen, method=method, on_row=progress.advance)
    columns = answer_columns(model.signature, chosen, has_lines=has_lines)
    answered = answer_rows(columns, chosen, [explanation.prediction for explanation in explanations])
    rows = [row for row in answered if row.prediction is not None]
    if as_json:
        for row, explanation in zip(rows, explanations, strict=True):
            record = json_record(columns, row) | {"explanation": explanation.to_dict()["explanation"]}
            sys.stdout.write(json_line(record))
    else:
        numbers = [row.place[columns.place.index("row")] for row in rows]
        show_explanations(zip(numbers, explanations, strict=True))
