"""`bertune.train`: what `bertune train` does, from Python."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

from bertune.api.card_facts import facts_of
from bertune.api.fine_tuned_model import Model, load
from bertune.api.hub_push import Source, address_of, push
from bertune.api.hub_upload import HubTarget
from bertune.api.train_settings import SortedSettings, TrainSettings, sorted_settings
from bertune.api.training_data import TableData, TrainingData, given_data, given_split
from bertune.errors import ConfigError
from bertune.evaluation.saved_scores import FoldScore
from bertune.evaluation.scores import Scores
from bertune.experiments.cross_validation import execute_folds, prepare_folds
from bertune.experiments.study import execute_study, prepare_study
from bertune.experiments.summary import Summary
from bertune.fetch.download import FetchProgress
from bertune.reports.run_report import write_report
from bertune.training.also_scored import score_unchosen
from bertune.training.history import History
from bertune.training.prepare import prepare
from bertune.training.progress_shown import watched_by
from bertune.training.run import FinishedRun, execute
from bertune.training.run_settings import RunSettings
from bertune.wording.markup import Html, element, join
from bertune.wording.metric_text import epoch_text, metric_name, metric_text
from bertune.wording.printed_lines import say as say_line

_IN_FILES = ("delimiter", "encoding", "no_header", "quoting", "label_file")


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run; made by `train`. A notebook shows its scores.

    Args:
        folder: with everything that `bertune train` writes.
        report: the HTML page about the run.
        scores: of the model that was kept, on the validation rows; None where there were none. With `folds` the
            cross-validated score: over all training rows, each answered by a model that did not learn from it.
        also: scores on rows that nothing was chosen by, by the name of the split: `test`, and of MNLI
            `validation_mismatched`.
        history: steps, evaluations and epochs; None where several seeds were trained.
        seeds: what several seeds came to; None for one.
        folds: the cross-validated score fold by fold; None without folds.
    """

    folder: Path
    report: Path
    scores: Scores | None
    also: dict[str, Scores]
    history: History | None = None
    seeds: Summary | None = None
    folds: tuple[FoldScore, ...] | None = None

    @cached_property
    def model(self) -> Model:
        """The model that was kept, loaded from the folder when it is first asked for."""
        return load(self.folder)

    def push_to_hub(
        self,
        name: str,
        *,
        license: str = "",
        language: str | Sequence[str] = (),
        datasets: str | Sequence[str] = (),
        base_model: str = "",
        private: bool = True,
        token: str | None = None,
    ) -> str:
        """Uploads the model that was kept to the Hugging Face hub, with the scores of the run in its card.

        See `Model.push_to_hub` for what is given, returned and raised; data that came from the hub need no name here.
        """
        facts = facts_of(license=license, language=language, datasets=datasets, base_model=base_model)
        return address_of(push(Source(self.folder), HubTarget(name, public=not private), facts, token=token))

    def __repr__(self) -> str:
        return f"Run({'; '.join([*self._facts(), str(self.folder)])})"

    def _repr_html_(self) -> str:
        parts: list[Html] = [element("p", "; ".join(self._facts()), "; folder ", element("code", str(self.folder)))]
        parts += [Html(shown._repr_html_()) for shown in (self.scores, self.history) if shown is not None]
        return join(parts)

    def _facts(self) -> list[str]:
        facts = []
        if self.seeds is not None:
            facts.append(f"{len(self.seeds.results)} seeds")
        if self.history is not None:
            best, last = (epoch_text(each.epoch) for each in (self.history.best, self.history.evaluations[-1]))
            facts.append(f"epoch {best} of {last}")
        own = {} if self.scores is None else {"validation" if self.folds is None else "cross-validated": self.scores}
        if self.folds is not None:
            facts = [f"{len(self.folds)} folds"]
        for name, scores in (own | self.also).items():
            metric, value = next(iter(scores.values.items()))
            facts.append(f"{name} {metric_name(metric, scores.label_names)} {metric_text(metric, value)}")
        return facts


def train(  # noqa: PLR0913 (what nearly every call names)
    data: TrainingData,
    *,
    out: str | os.PathLike[str] | None = None,
    model: str | os.PathLike[str] = RunSettings.model,
    text_a: str | int | None = None,
    text_b: str | int | None = None,
    label: str | int | None = None,
    validation: str | os.PathLike[str] | float | TableData | None = None,
    test: str | os.PathLike[str] | TableData | None = None,
    quiet: bool = False,
    verbose: bool = False,
    **settings: Unpack[TrainSettings],
) -> Run:
    """Fine-tunes a pretrained encoder on a table of labelled texts, and writes the folder of the run.

    The same as `bertune train`, with the same settings and defaults: the same rows in a file, with the same settings,
    give the same model, bit for bit. The folder of data in memory says of them only what type they had, so that
    `bertune train --config run.toml` cannot repeat such a run by itself.

    Args:
        data: what the command line takes (the path of a table or of a folder with splits, `hf://datasets/…`), a
            DataFrame of pandas or polars, a Table of pyarrow, a Dataset of `datasets`, a dict of columns, or
            `(texts, labels)`, where a text may be a pair of texts; or splits of these: a DatasetDict, or a dict with
            `train` and `validation`. A `test` among splits is not read: name it, `test=data["test"]`.
        out: the folder of the run, which must not hold another one. None makes a new folder for temporary files, which
            is kept until the system clears those away: `Run.folder` says where.
        model: a BERT encoder: a folder, a name of the hub, or an address.
        text_a: column of the text, or of the first text of a pair; `(texts, labels)` need no names.
        text_b: column of the second text of a pair.
        label: column of the label.
        validation: what the best epoch is chosen by: a path or a table in memory; a share of the training rows, such as
            0.1; or `none`.
        test: a path or a table in memory that is scored once, at the end.
        quiet: shows nothing, neither what is found in the data nor progress.
        verbose: tells more of the data and the encoder.
        **settings: those of `bertune train`, see `TrainSettings`.

    Returns:
        The run: scores, report, model.

    Raises:
        ConfigError: a setting that does not exist or cannot work, or a folder that holds something else.
        DataError: rows that cannot be used; names file and line, or table and row.
        DivergedError: the loss is not finite.
        StoppedError: Ctrl-C or SIGTERM asked the run to stop; `bertune.resume` resumes it.

    Example:
        >>> texts = ["good film", "a bad plot", "nice music", "very sad"] * 10
        >>> moods = ["up", "down"] * 20
        >>> run = bertune.train((texts, moods), model="bert", out="runs/moods", epochs=1, quiet=True)
        >>> run.folder, run.report.name, run.model.labels
        (PosixPath('runs/moods'), 'report.html', ('down', 'up'))
    """
    if quiet and verbose:
        raise ConfigError("quiet and verbose contradict each other", hint="leave one of them out")
    given = given_data(data)
    frames = {name: frame for name, frame in given.frames.items() if name != "test"}
    named: dict[str, Any] = {"validation": validation, "test": test}
    for name, value in named.items():
        if value is not None and not isinstance(value, str | os.PathLike | int | float):
            named[name], frames[name] = given_split(value, name)
    by_name = {"text_a": text_a, "text_b": text_b, "label": label}
    columns = given.columns | {name: str(value) for name, value in by_name.items() if value is not None}
    with _folder_for(out) as folder:
        chosen = sorted_settings(given.name, folder, {**settings, **columns, **named, "model": model})
        if "train" in frames:
            _refuse_settings_of_files(chosen.run)
        say = say_nothing if quiet else say_line
        if "test" in given.frames and test is None:
            say("the test split is not read; test=data['test'] scores it once, at the end")
        run = _train_once if chosen.seeds.seeds is None else _train_seeds
        run = run if chosen.folds.folds is None else _train_folds
        return run(chosen, frames, say, quiet=quiet, verbose=verbose)


@contextmanager
def _folder_for(out: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Gives the folder of the run; a temporary one is left behind where something is in it."""
    if out is not None:
        yield Path(out)
        return
    parent = Path(tempfile.mkdtemp(prefix="bertune-"))
    try:
        yield parent / "run"
    finally:
        with suppress(OSError):  # it holds a run, or what one that failed has left
            parent.rmdir()


def _train_once(
    settings: SortedSettings, frames: dict[str, Any], say: Callable[[str], None], *, quiet: bool, verbose: bool
) -> Run:
    prepared = prepare(settings.run, settings.training, say=say, verbose=verbose, on_fetch=teller(say), frames=frames)
    prepared = replace(prepared, checkpoints=settings.checkpoints)
    with watched_by((), not quiet) as progress:
        return run_of(execute(prepared, callback=progress, say=say))


def run_of(finished: FinishedRun) -> Run:
    """Writes the report of a finished run, and gives it as a `Run`."""
    folder = finished.directory.path
    return Run(folder, write_report(folder), finished.best.scores, finished.also, finished.history)


def _train_seeds(
    settings: SortedSettings, frames: dict[str, Any], say: Callable[[str], None], *, quiet: bool, verbose: bool
) -> Run:
    study = prepare_study(
        settings.run,
        settings.training,
        settings.seeds,
        say=say,
        verbose=verbose,
        on_fetch=teller(say),
        frames=frames,
    )
    study = replace(study, run=replace(study.run, checkpoints=settings.checkpoints))
    with ExitStack() as shown:
        finished = execute_study(
            study, say=say, callback_of=lambda _seed, _place: shown.enter_context(watched_by((), not quiet))
        )
    folder = finished.directory.path
    also = {} if finished.test is None else {"test": finished.test}
    report = write_report(folder)
    kept = load(folder)
    assert study.run.validation is not None
    judged = replace(study.run, also_scored={"validation": study.run.validation})
    scores = score_unchosen(judged, "validation", kept.classifier, kept.signature)
    return Run(folder, report, scores, also, seeds=finished.summary)


def _train_folds(
    settings: SortedSettings, frames: dict[str, Any], say: Callable[[str], None], *, quiet: bool, verbose: bool
) -> Run:
    if "validation" in frames:
        say("the validation split is not read: with folds every training row is answered without having been learned")
    prepared = prepare_folds(
        settings.run,
        settings.training,
        settings.folds,
        say=say,
        verbose=verbose,
        on_fetch=teller(say),
        frames={name: frame for name, frame in frames.items() if name != "validation"},
    )
    prepared = replace(prepared, run=replace(prepared.run, checkpoints=settings.checkpoints))
    with ExitStack() as shown:
        finished = execute_folds(
            prepared, say=say, callback_of=lambda _name: shown.enter_context(watched_by((), not quiet))
        )
    folder = finished.directory.path
    report = write_report(folder)
    return Run(folder, report, finished.scores, finished.also, finished.history, folds=finished.folds)


def _refuse_settings_of_files(settings: RunSettings) -> None:
    changed = settings.changed()
    for name in _IN_FILES:
        if changed[name]:
            raise ConfigError(f"{settings.data} is no file, so {name} has no effect", hint=f"leave {name} out")


def say_nothing(line: str) -> None:
    """Takes a line and writes nothing."""


def teller(say: Callable[[str], None]) -> Callable[[FetchProgress], None]:
    """Tells what people should know of a download."""
    return lambda now: say(now.note) if now.note else None
