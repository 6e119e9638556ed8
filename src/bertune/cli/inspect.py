"""`bertune inspect`: finds out what is named, looks into it, and prints what was found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertune.cli.options import OutputOptions, refuse_flags
from bertune.cli.terminal import say, show, show_json
from bertune.data.read_options import ReadOptions
from bertune.data.task_kind import TaskKind, TaskKindName
from bertune.errors import ConfigError

# Files that hold a model, or a part of one; any other file is taken for data.
_MODEL_SUFFIXES = (
    ".safetensors",
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".pkl",
    ".h5",
    ".meta",
    ".npz",
    ".zip",
    ".tar.gz",
    ".tgz",
)


@dataclass(frozen=True, kw_only=True)
class AuditedData(ReadOptions):
    """How data are audited.

    Args:
        task: of the data: a GLUE task by name.
        text_a: of the data: column of the first text. Without it the columns are shown.
        text_b: of the data: column of the second text.
        label: of the data: column of the label.
        kind: of the data: whether labels are classes or values.
        label_separator: of the data, multi-label: what stands between the labels of a row.
        allow_no_label: of the data, multi-label: whether a row may have none.
        model: of the data: count tokens as this encoder's tokenizer makes them.
        max_length: of the data, with --model: from which on tokens are cut off.
        strict: of the data: what the audit finds is an error, exit code 3.
    """

    task: str | None = None
    text_a: str | None = None
    text_b: str | None = None
    label: str | None = None
    kind: TaskKindName = "classification"
    label_separator: str | None = None
    allow_no_label: bool = False
    model: str | None = None
    max_length: int = 128
    strict: bool = False

    def flags(self) -> dict[str, bool]:
        """Tells of each flag but --task and --strict whether it is set."""
        return {
            "text_a": self.text_a is not None,
            "text_b": self.text_b is not None,
            "label": self.label is not None,
            "kind": not TaskKind(self.kind).has_one_label,
            "label_separator": self.label_separator is not None,
            "allow_no_label": self.allow_no_label,
            **self.changed(),
            "model": self.model is not None,
            "max_length": self.max_length != 128,
        }


def inspect(
    what: str,
    *,
    data: Annotated[AuditedData, Parameter(name="*")] = AuditedData(),
    plot: Path | None = None,
    output: Annotated[OutputOptions, Parameter(name="*")] = OutputOptions(),  # noqa: B008 (frozen)
) -> None:
    """Look into a model, a data set or a run.

    Args:
        what: a run or model folder, a pretrained encoder (folder, file, name or address), or data (table, folder, hf://…,
            what `bertune encode` or `bertune predict --shards` wrote, TFRecord files).
        data: of the data: how they are read and audited. Rows that cannot be used are all listed; the exit code is 3
            then, unless --on-bad-row skip lets them pass.
        plot: draw the model into this file, .svg or .png.
        output: what is printed.
    """
    if not what:
        raise ConfigError("nothing is named to look into", hint="name a run, a model or data")
    from bertune.cli.inspect_data import AuditOptions, inspect_data
    from bertune.cli.inspect_records import inspect_records, inspect_reencoded, record_files_at, reencoded_at
    from bertune.evaluation.prediction_manifest import holds_predictions

    if plot is not None:
        from bertune.plots.figure import check_path

        check_path(plot)
    task, flags = data.task, data.flags()
    about_data = flags | {"strict": data.strict}
    if _is_run(what):
        refuse_flags(f"{what} is a model", {"task": task is not None} | about_data)
        from bertune.cli.inspect_model import inspect_run

        found = inspect_run(Path(what))
    elif holds_predictions(Path(what)):
        from bertune.cli.inspect_predictions import inspect_predictions

        refuse_flags(f"{what} holds predictions", {"task": task is not None} | about_data)
        found = inspect_predictions(Path(what))
    elif folders := reencoded_at(what):
        refuse_flags(f"{what} was encoded before", {"task": task is not None} | about_data)
        found = inspect_reencoded(folders, quiet=output.quiet)
    elif files := record_files_at(what):
        refuse_flags(f"{what} holds records", {"task": task is not None} | about_data)
        found = inspect_records(files, quiet=output.quiet)
    elif task is None and data.text_a is None and _is_model(what):
        refuse_flags(f"{what} is a model", about_data)
        from bertune.cli.inspect_model import inspect_model

        found = inspect_model(what, quiet=output.quiet)
    else:
        from bertune.data.examples import Columns

        _refuse_without_effect(what, task, flags)
        kind = TaskKind(data.kind)
        if not kind.has_label_sets:
            several = {name: flags[name] for name in ("label_separator", "allow_no_label")}
            refuse_flags("only --kind multi-label has several labels a row", several)
        columns = None
        if data.text_a is not None:
            separator, allow_none = data.label_separator, data.allow_no_label
            columns = Columns.of_kind(
                kind, data.text_a, data.text_b, data.label, separator=separator, allow_none=allow_none
            )
        options = AuditOptions(
            task=task,
            columns=columns,
            kind=kind,
            reading=data.read_options(),
            model=data.model,
            max_length=data.max_length,
            quiet=output.quiet,
        )
        found = inspect_data(what, options)
    if plot is not None:
        from bertune.plots.model_plot import plot_model

        if found.model is None:
            raise ConfigError(f"--plot draws a model, and {what} holds none that can be built")
        plot_model(found.model, plot)
        if not output.quiet:
            say(f"picture: {plot}")
    if output.json:
        show_json(found.values)
    else:
        show(found.lines)
    if found.problem is not None:
        raise found.problem
    if data.strict and found.audit is not None:
        found.audit.refuse_findings()


def _refuse_without_effect(what: str, task: str | None, flags: dict[str, bool]) -> None:
    """Refuses flags about columns that the rest of the command makes void.

    Raises:
        ConfigError: names the flag.
    """
    if flags["max_length"] and not flags["model"]:
        refuse_flags("without --model no tokens are counted", {"max_length": True}, hint="name a model with --model")
    about_columns = {
        name: flags[name] for name in ("text_a", "text_b", "label", "kind", "label_separator", "allow_no_label")
    }
    if task is not None:
        refuse_flags(f"task {task!r} knows its columns", about_columns)
    elif not flags["text_a"]:
        # How a table is written decides which columns are shown.
        why = f"without --text-a only the columns of {what} are shown"
        shown_by = ("quoting", "delimiter", "encoding", "no_header", "label_file")
        refuse_flags(
            why, flags | dict.fromkeys(shown_by, False), hint="name the column of the first text with --text-a"
        )


def _is_run(what: str) -> bool:
    """Whether it is a folder that `bertune train` made."""
    from bertune.checkpoints.signature import SIGNATURE_FILE

    path = Path(what)
    return any((folder / SIGNATURE_FILE).is_file() for folder in (path, path / "model"))


def _is_model(what: str) -> bool:
    """Whether it is, or names, a pretrained encoder rather than data."""
    from bertune.checkpoints.model_files import config_file
    from bertune.checkpoints.tensorflow_names import find_prefix
    from bertune.data.file_kind import name_parts

    path = Path(what)
    if path.is_dir():
        return config_file(path).is_file() or find_prefix(path) is not None
    if path.is_file():
        return path.name.endswith(_MODEL_SUFFIXES) or find_prefix(path) is not None
    is_table = name_parts(path)[1] is not None or any(sign in what for sign in "*?{")
    return not what.startswith("hf://") and not is_table
