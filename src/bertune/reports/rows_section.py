"""Single rows worth reading: the most confident errors, and training rows whose labels may be wrong."""

from collections.abc import Iterable
from typing import Final

from bertune.reports.charts import spark
from bertune.reports.page import note, paragraph, section
from bertune.reports.run_metrics import AnswerNumbers, DoubtfulNumbers, DoubtfulRowMean, ErrorRow
from bertune.reports.words import answer_text, percent, place_of, texts_of
from bertune.wording.markup import Html, element

_FEW_EPOCHS: Final = 3


def errors(answers: AnswerNumbers | None) -> list[Html]:
    """Returns the section on the errors; nothing where no row was answered."""
    if answers is None:
        return []
    if not answers.errors:
        return [section("errors", "Errors", paragraph("None: every row is answered right."))]
    if answers.is_of_values:
        title, told = "Largest errors", "The rows whose predicted value is farthest from the true one."
    else:
        title = "Most confident errors"
        told = f"{answers.wrong:,} of {answers.rows:,} rows are answered wrong. These are the most confident of them."
    items = (_error(row, is_value=answers.is_of_values) for row in answers.errors)
    advice = "Read them: some are hard, and some of the given labels may be wrong."
    return [section("errors", title, note(told, " ", advice), _list(items))]


def _error(row: ErrorRow, *, is_value: bool) -> Html:
    how = f"off by {row.confidence:.3f}" if is_value else f"{percent(row.confidence)} sure"
    told = element(
        "div",
        "true ",
        element("b", answer_text(row.target)),
        ", answered ",
        element("b", answer_text(row.answer), class_="worse"),
        f", {how}",
    )
    return element("li", told, texts_of(row), place_of(row))


def doubtful_rows(doubtful: DoubtfulNumbers | None) -> list[Html]:
    """Returns the section on training rows that may be mislabelled; nothing where no dynamics were recorded."""
    if doubtful is None:
        return []
    is_value = doubtful.measure == "absolute_error"
    if doubtful.out_of_fold:
        return _out_of_fold(doubtful, is_value=is_value)
    what = "the absolute error" if is_value else "how probable the model found the given label"
    told = [
        f"Training rows ordered by {what}, averaged over the {doubtful.epochs} epochs, each time just before the "
        "model learned from the row (Swayamdipta et al. 2020). Rows that stay improbable while others are learned are "
        "often labelled wrongly, or just hard: a reader decides."
    ]
    weak = (
        [
            note(
                f"With {doubtful.epochs} epochs this is weak evidence: the first epoch says little, since the model "
                "knew nothing yet."
            )
        ]
        if doubtful.epochs <= _FEW_EPOCHS
        else []
    )
    top = max((max(row.of_each_epoch) for row in doubtful.rows), default=1.0) if is_value else 1.0
    items = (_doubtful_row(row, top or 1.0, is_value=is_value) for row in doubtful.rows)
    return [section("doubtful", "Training rows that may be mislabelled", note(*told), *weak, _list(items))]


def _out_of_fold(doubtful: DoubtfulNumbers, *, is_value: bool) -> list[Html]:
    what = "the error of the value" if is_value else "how much more probable another label is than the given one"
    told = (
        f"Training rows ordered by {what}, by a model that did not learn from the row. Rows that all others contradict "
        "are often labelled wrongly, or just hard: a reader decides."
    )
    items = (_contradicted(row, is_value=is_value) for row in doubtful.rows)
    return [section("doubtful", "Training rows that may be mislabelled", note(told), _list(items))]


def _contradicted(row: DoubtfulRowMean, *, is_value: bool) -> Html:
    how = f"off by {row.mean:.3f}" if is_value else f"probability of its label {percent(row.mean)}"
    answered = "" if row.answer is None else answer_text(row.answer)
    told = element(
        "div",
        "labelled ",
        element("b", answer_text(row.target)),
        ", answered ",
        element("b", answered, class_="worse"),
        f", {how}",
    )
    return element("li", told, texts_of(row), place_of(row))


def _doubtful_row(row: DoubtfulRowMean, top: float, *, is_value: bool) -> Html:
    values = row.of_each_epoch
    mean = f"off by {row.mean:.3f}" if is_value else f"probability {percent(row.mean)}"
    each = ", ".join(f"{value:.3f}" for value in values)
    told = element(
        "div",
        "labelled ",
        element("b", answer_text(row.target)),
        f", {mean} on average ",
        element("span", spark(values, label=f"epoch by epoch: {each}", top=top), title=f"epoch by epoch: {each}"),
    )
    return element("li", told, texts_of(row), place_of(row))


def _list(items: Iterable[Html]) -> Html:
    return element("ol", *items, class_="rows")
