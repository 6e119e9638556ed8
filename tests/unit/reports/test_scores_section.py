"""The section on scores, of few and of many labels."""

from dataclasses import replace

import numpy as np
from tests.unit.reports.some_run import RUN
from tests.unit.scored import scored

from bertune.reports.scores_section import scoring


def section_of(labels: int) -> str:
    targets = np.repeat(np.arange(labels), 3)
    logits = np.eye(labels)[targets]
    # Two of three rows of label 1 are taken for label 0, and one of label 2 for label 1.
    logits[[3, 4]] = np.eye(labels)[0]
    logits[6] = np.eye(labels)[1]
    names = [f"class {number}" for number in range(labels)]
    scores = scored(
        logits, targets, task_kind="classification", metrics=["accuracy"], label_names=names, bootstrap_samples=2
    )
    return "".join(map(str, scoring(replace(RUN, validation=scores.saved()))))


def test_the_pairs_confused_most_are_the_same_from_a_matrix_and_from_its_cells() -> None:
    told = {
        labels: section_of(labels).split("the pairs confused most.")[1].split("</table>")[0] for labels in (60, 300)
    }
    assert told[60] == told[300]
    assert "66.7" in told[300]
    assert "class 1" in told[300].split("66.7")[0]
