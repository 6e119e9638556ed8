"""The warnings of a report: what is grave stands first and loud, what is small last and together."""

from typing import Any

from bertune.reports.headline import headline
from bertune.reports.numbers import warnings_of
from bertune.text.markup import join

FEW = {"code": "few_steps", "message": "30 optimizer steps are few", "try": ["--recipe auto", "--epochs 6"]}
COLLAPSED = {"code": "collapsed", "message": "this run collapsed: every answer is 'ham'", "try": []}


def finding(code: str, count: int, message: str = "train: something") -> dict[str, Any]:
    return {"code": code, "count": count, "message": message}


def numbers(**changes: Any) -> dict[str, Any]:
    metric = {"value": 0.7, "low": 0.65, "high": 0.75, "baseline": 0.5, "against_baseline": "better"}
    scores = {
        "is_majority": False,
        "metrics": {"accuracy": metric},
        "rows": 400,
        "label_names": ["ham", "spam"],
        "baseline": {"kind": "majority", "answer": "ham"},
    }
    values: dict[str, Any] = {
        "validation": scores,
        "answers": None,
        "seeds": None,
        "data": None,
        "also_scored": {},
        "evaluations": [],
        "advice": [],
        "frozen_features": None,
        "calibrated_since": False,
        "best_epoch": 3,
        "ended": True,
        "of_the_model": True,
    }
    return values | changes


def data(*findings: dict[str, Any]) -> dict[str, Any]:
    return {"splits": {"train": {"rows_used": 2499}}, "findings": list(findings), "reports": {}}


def test_a_good_run_has_no_warning() -> None:
    assert warnings_of(numbers()) == []


def test_that_a_run_did_not_end_and_that_scores_are_of_other_weights_comes_first() -> None:
    found = warnings_of(numbers(advice=[COLLAPSED], ended=False, of_the_model=False))
    assert [each["level"] for each in found] == ["severe"] * 3
    starts = ("This run did not end", "Scores and validation rows were of other weights", "This run collapsed")
    assert all(each["message"].startswith(start) for each, start in zip(found, starts, strict=True))


def test_a_collapsed_run_comes_before_one_repeated_row_which_is_a_note() -> None:
    repeated = data(finding("duplicates", 1), finding("overlap_exact", 300), finding("imbalance", 20))
    found = warnings_of(numbers(advice=[COLLAPSED, FEW], data=repeated))
    assert [(each["level"], each["message"]) for each in found] == [
        ("severe", "This run collapsed: every answer is 'ham'."),
        ("caution", "30 optimizer steps are few."),
        ("caution", "Data: train: something"),
        ("caution", "Data: train: something"),
        ("note", "Data: train: something"),
    ]
    assert found[1]["try"] == ["--recipe auto", "--epochs 6"]


def test_a_run_from_before_there_was_advice_says_once_that_it_collapsed() -> None:
    old = numbers()
    old["validation"] = old["validation"] | {"is_majority": True}
    assert [each["level"] for each in warnings_of(old)] == ["severe"]
    assert [each["message"] for each in warnings_of(old | {"advice": [COLLAPSED]})] == [
        "This run collapsed: every answer is 'ham'."
    ]


def test_worse_than_the_baseline_is_severe_and_no_better_a_caution() -> None:
    for against, level in {"worse": "severe", "unclear": "caution"}.items():
        given = numbers()
        given["validation"]["metrics"]["accuracy"]["against_baseline"] = against
        assert [each["level"] for each in warnings_of(given)] == [level]


def test_more_findings_than_are_shown_are_counted_the_gravest_shown() -> None:
    found = warnings_of(numbers(data=data(*[finding("duplicates", 1)] * 5, finding("overlap_exact", 900))))
    assert [each["level"] for each in found] == ["caution", *["note"] * 5]
    assert found[-1]["message"] == "Data: 1 more finding, in the section on the data."


def test_the_page_has_what_is_grave_above_the_number_and_notes_in_one_box() -> None:
    given = numbers(advice=[COLLAPSED, FEW], data=data(finding("duplicates", 1), finding("markup", 2)))
    page = join(headline(given | {"warnings": warnings_of(given)}))
    places = [page.index(part) for part in ("callout severe", 'class="headline"', "callout caution", 'class="notes"')]
    assert places == sorted(places)
    assert page.count("<ul") == 1
    assert page.count("<li>") == 2
    assert '<span class="flag">--recipe auto</span>\n<span class="flag">--epochs 6</span>' in page


def test_what_the_audit_found_in_many_rows_shares_a_box() -> None:
    given = numbers(data=data(finding("duplicates", 900), finding("markup", 800)))
    page = join(headline(given | {"warnings": warnings_of(given)}))
    assert page.count("callout") == 1
    assert page.count("<li>Data: ") == 2


def test_the_page_says_what_frozen_features_give() -> None:
    frozen = {"name": "logistic regression on frozen features", "metrics": {"accuracy": 0.701}}
    given = numbers(frozen_features=frozen | {"rows_trained": 1000, "rows_scored": 408})
    page = join(headline(given | {"warnings": []}))
    assert "a logistic regression on frozen features has accuracy 70.1" in page
    assert "fitted on 1,000 training rows" in page
