"""The warnings of a report: what is grave stands first and loud, what is small last and together."""

from dataclasses import replace

from tests.unit.reports.some_run import RUN, SCORES, with_accuracy

from bertune.audit.audit import SplitAudit
from bertune.audit.findings import Finding
from bertune.evaluation.saved_scores import SavedComparison, SavedRegression
from bertune.reports.headline import headline
from bertune.reports.numbers import warnings_of
from bertune.reports.scores_section import scoring
from bertune.reports.words import percent
from bertune.training.advice import Advice
from bertune.training.saved_run import SavedData
from bertune.wording.markup import join

FEW = Advice("few_steps", "30 optimizer steps are few", ("--recipe auto", "--epochs 6"))
COLLAPSED = Advice("collapsed", "this run collapsed: every answer is 'ham'", ())


def finding(code: str, count: int) -> Finding:
    return Finding(code, "train: something", count)


def data(*findings: Finding) -> SavedData:
    train = SplitAudit("train.csv", rows_in=2499, rows_used=2499, rows_refused=0, rows_other_split=0, blank_texts=0)
    return SavedData(splits={"train": train}, findings=findings, reports={})


def test_a_good_run_has_no_warning() -> None:
    assert warnings_of(RUN) == []


def test_that_a_run_did_not_end_and_that_scores_are_of_other_weights_comes_first() -> None:
    found = warnings_of(replace(RUN, advice=(COLLAPSED,), ended=False, of_the_model=False))
    assert [each.level for each in found] == ["severe"] * 3
    starts = ("This run did not end", "Scores and validation rows were of other weights", "This run collapsed")
    assert all(each.message.startswith(start) for each, start in zip(found, starts, strict=True))


def test_a_collapsed_run_comes_before_one_repeated_row_which_is_a_note() -> None:
    repeated = data(finding("duplicates", 1), finding("overlap_exact", 300), finding("imbalance", 20))
    found = warnings_of(replace(RUN, advice=(COLLAPSED, FEW), data=repeated))
    assert [(each.level, each.message) for each in found] == [
        ("severe", "This run collapsed: every answer is 'ham'."),
        ("caution", "30 optimizer steps are few."),
        ("caution", "Data: train: something"),
        ("caution", "Data: train: something"),
        ("note", "Data: train: something"),
    ]
    assert found[1].commands == ("--recipe auto", "--epochs 6")


def test_a_run_from_before_there_was_advice_says_once_that_it_collapsed() -> None:
    old = replace(RUN, validation=replace(SCORES, is_majority=True))
    assert [each.level for each in warnings_of(old)] == ["severe"]
    assert [each.message for each in warnings_of(replace(old, advice=(COLLAPSED,)))] == [
        "This run collapsed: every answer is 'ham'."
    ]


def test_worse_than_the_baseline_is_severe_and_no_better_a_caution() -> None:
    for against, level in {"worse": "severe", "unclear": "caution"}.items():
        assert [each.level for each in warnings_of(with_accuracy(against_baseline=against))] == [level]


def test_more_findings_than_are_shown_are_counted_the_gravest_shown() -> None:
    found = warnings_of(replace(RUN, data=data(*[finding("duplicates", 1)] * 5, finding("overlap_exact", 900))))
    assert [each.level for each in found] == ["caution", *["note"] * 5]
    assert found[-1].message == "Data: 1 more finding, in the section on the data."


def test_the_page_has_what_is_grave_above_the_number_and_notes_in_one_box() -> None:
    given = replace(RUN, advice=(COLLAPSED, FEW), data=data(finding("duplicates", 1), finding("markup", 2)))
    page = join(headline(replace(given, warnings=tuple(warnings_of(given)))))
    places = [page.index(part) for part in ("callout severe", 'class="headline"', "callout caution", 'class="notes"')]
    assert places == sorted(places)
    assert page.count("<ul") == 1
    assert page.count("<li>") == 2
    assert '<span class="flag">--recipe auto</span>\n<span class="flag">--epochs 6</span>' in page


def test_what_the_audit_found_in_many_rows_shares_a_box() -> None:
    given = replace(RUN, data=data(finding("duplicates", 900), finding("markup", 800)))
    page = join(headline(replace(given, warnings=tuple(warnings_of(given)))))
    assert page.count("callout") == 1
    assert page.count("<li>Data: ") == 2


def test_the_page_holds_the_model_against_simple_baselines() -> None:
    compared = SavedComparison("accuracy", 0.794, 0.701, 0.049, 0.137, 0.001)
    frozen = SavedRegression("logistic regression on frozen features", {"accuracy": 0.701}, 1000, 408, 0.1, compared)
    older = SavedRegression("logistic regression on TF-IDF", {"accuracy": 0.66}, 3668, 408)
    page = join(scoring(replace(RUN, frozen_features=frozen, tf_idf=older)))
    for cell in (percent(0.701), percent(0.794), "+9.3 points (+4.9 to +13.7)", "1,000", percent(0.66), "3,668"):
        assert f">{cell}</td>" in page, cell
    assert page.index("TF-IDF") < page.index("frozen features")
    assert "simple baselines" not in join(scoring(RUN))
