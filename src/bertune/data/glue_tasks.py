"""The nine GLUE tasks with labels: columns, label words, metrics, and the names of their files.

Sources: Wang et al., 2018 (https://arxiv.org/abs/1804.07461) for tasks and metrics; the data set `nyu-mll/glue` on the
Hugging Face hub for the words of the labels and their ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bertune.data.examples import Columns, LabelSet, Task
from bertune.data.task_kind import TaskKind
from bertune.errors import ConfigError
from bertune.wording.nearest import did_you_mean

_USUAL_SPLITS = {"train": "train", "validation": "dev", "test": "test"}
_MNLI_SPLITS = {
    "train": "train",
    "validation": "dev_matched",
    "validation_mismatched": "dev_mismatched",
    "test": "test_matched",
    "test_mismatched": "test_mismatched",
}
_ENTAILMENT = LabelSet(("entailment", "not_entailment"))


@dataclass(frozen=True)
class GlueTask(Task):
    """A GLUE task.

    Args:
        folder: the folder of the original files.
        hub_columns: the columns of `nyu-mll/glue`; `columns` are those of the original files.
        splits: split → stem of the original file.
        headless: original files that begin without a header.
        headless_columns: the columns of those.
    """

    folder: str = ""
    hub_columns: Columns = field(default_factory=lambda: Columns("sentence", None, "label"))
    splits: Mapping[str, str] = field(default_factory=lambda: dict(_USUAL_SPLITS), hash=False)
    headless: tuple[str, ...] = ()
    headless_columns: Columns | None = None

    def label_words(self) -> dict[str, str]:
        """Gives the label word for each way in which files write it: its id, or the word itself."""
        if self.labels is None:
            return {}
        by_id = {str(number): name for number, name in enumerate(self.labels.names)}
        return by_id | {name: name for name in self.labels.names}


TASKS: dict[str, GlueTask] = {
    task.name: task
    for task in (
        GlueTask(
            "cola",
            TaskKind.CLASSIFICATION,
            # The test file has a header and no label; train and dev have neither header nor names.
            Columns("sentence", None, "label"),
            LabelSet(("unacceptable", "acceptable")),
            ("matthews",),
            folder="CoLA",
            headless=("train.tsv", "dev.tsv"),
            headless_columns=Columns(3, None, 1),
        ),
        GlueTask(
            "sst2",
            TaskKind.CLASSIFICATION,
            Columns("sentence", None, "label"),
            LabelSet(("negative", "positive")),
            ("accuracy",),
            folder="SST-2",
        ),
        GlueTask(
            "mrpc",
            TaskKind.CLASSIFICATION,
            Columns("#1 String", "#2 String", "Quality"),
            LabelSet(("not_equivalent", "equivalent")),
            ("accuracy", "f1"),
            folder="MRPC",
            hub_columns=Columns("sentence1", "sentence2", "label"),
        ),
        GlueTask(
            "stsb",
            TaskKind.REGRESSION,
            Columns("sentence1", "sentence2", "score"),
            None,
            ("pearson", "spearman"),
            folder="STS-B",
            hub_columns=Columns("sentence1", "sentence2", "label"),
            target_range=(0.0, 5.0),
        ),
        GlueTask(
            "qqp",
            TaskKind.CLASSIFICATION,
            Columns("question1", "question2", "is_duplicate"),
            LabelSet(("not_duplicate", "duplicate")),
            ("accuracy", "f1"),
            folder="QQP",
            hub_columns=Columns("question1", "question2", "label"),
        ),
        GlueTask(
            "mnli",
            TaskKind.CLASSIFICATION,
            Columns("sentence1", "sentence2", "gold_label"),
            LabelSet(("entailment", "neutral", "contradiction")),
            ("accuracy",),
            folder="MNLI",
            hub_columns=Columns("premise", "hypothesis", "label"),
            splits=_MNLI_SPLITS,
        ),
        GlueTask(
            "qnli",
            TaskKind.CLASSIFICATION,
            Columns("question", "sentence", "label"),
            _ENTAILMENT,
            ("accuracy",),
            folder="QNLI",
            hub_columns=Columns("question", "sentence", "label"),
        ),
        GlueTask(
            "rte",
            TaskKind.CLASSIFICATION,
            Columns("sentence1", "sentence2", "label"),
            _ENTAILMENT,
            ("accuracy",),
            folder="RTE",
            hub_columns=Columns("sentence1", "sentence2", "label"),
        ),
        GlueTask(
            "wnli",
            TaskKind.CLASSIFICATION,
            Columns("sentence1", "sentence2", "label"),
            LabelSet(("not_entailment", "entailment")),
            ("accuracy",),
            folder="WNLI",
            hub_columns=Columns("sentence1", "sentence2", "label"),
        ),
    )
}


def glue_task(name: str) -> GlueTask:
    """Finds a GLUE task by its name on the hub or its usual name: ``sst2``, ``SST-2`` and ``sst-2`` are the same.

    Args:
        name: of the task, in either spelling.

    Raises:
        ConfigError: no such task; names the nearest one.

    Example:
        >>> task = bertune.glue_task("MRPC")
        >>> task.labels.names, task.metrics
        (('not_equivalent', 'equivalent'), ('accuracy', 'f1'))
    """
    plain = name.lower().replace("-", "").replace("_", "")
    if plain not in TASKS:
        raise ConfigError(
            f"no task is called '{name}'; the tasks are {', '.join(TASKS)}",
            hint=did_you_mean(plain, TASKS) or "for a table of your own, name its columns instead",
        )
    return TASKS[plain]
