"""`bertune demo`: the main job end to end on the data set that comes with bertune."""

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bertune.cli.options import OutputOptions
from bertune.cli.terminal import keep_quiet, say, show, show_json
from bertune.errors import BertuneError, ConfigError
from bertune.nn.device import DeviceName
from bertune.nn.precision import Precision
from bertune.system.json_file import JsonObject
from bertune.wording.metric_text import metric_text

if TYPE_CHECKING:
    from bertune.checkpoints.model_folder import LoadedModel
    from bertune.data.examples import Examples
    from bertune.training.run import FinishedRun


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What is trained, where and how.

    Args:
        out: the folder of the run; an earlier demo in it is replaced.
        model: the encoder to start from.
        precision: in which the layers compute while they train; auto takes bf16 where the processor multiplies it
            natively.
        device: where to compute; auto takes the GPU where torch finds one.
    """

    out: Path = Path("runs/demo")
    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    precision: Precision = "auto"
    device: DeviceName = "auto"


def demo(
    *,
    options: Annotated[DemoOptions, Parameter(name="*")] = DemoOptions(),
    output: Annotated[OutputOptions, Parameter(name="*")] = OutputOptions(),  # noqa: B008 (frozen)
) -> None:
    """Do the whole job on a small data set: audit, restore, train, score, predict, save, reload.

    Args:
        options: what is trained.
        output: what is printed.

    Raises:
        BertuneError: any step failed, or the reloaded model predicts something else.
    """
    from bertune.checkpoints.model_folder import load
    from bertune.cli.prediction_output import prediction_table
    from bertune.cli.progress import FetchingProgress
    from bertune.cli.train import finished_values
    from bertune.data.demo_data import demo_folder
    from bertune.data.examples import Columns
    from bertune.data.sources import read_examples
    from bertune.evaluation.evaluate_model import evaluate
    from bertune.evaluation.labelled_rows import TextRows
    from bertune.evaluation.predict_texts import predict
    from bertune.evaluation.prediction_rows import prediction_columns, prediction_rows
    from bertune.nn.device import choose_device
    from bertune.reports.run_report import write_report
    from bertune.training.config import TrainingConfig
    from bertune.training.prepare import prepare
    from bertune.training.run import execute
    from bertune.training.run_settings import RunSettings
    from bertune.training.training_progress import TrainingProgress

    started = time.perf_counter()
    tell = keep_quiet if output.quiet else say
    folder = demo_folder()
    _refuse_other_runs(options.out, folder)
    columns = Columns("question1", "question2", "label")
    tell("1. Is the second support question a duplicate of the first? Reading, auditing, restoring")
    settings = RunSettings(
        data=_shown(folder),
        out=options.out,
        model=options.model,
        text_a="question1",
        text_b="question2",
        label="label",
        device=options.device,
        overwrite=True,
    )
    with FetchingProgress(enabled=not output.quiet) as fetching:
        prepared = prepare(settings, TrainingConfig(precision=options.precision), say=tell, on_fetch=fetching.show)
    tell("2. Training")
    with nullcontext() if output.quiet else TrainingProgress() as progress:
        finished = execute(prepared, callback=progress)
    report = write_report(finished.directory.path)
    tell("3. Scores on the test questions, held out from all model selection")
    loaded = load(finished.directory.model)
    loaded.classifier.to(choose_device(options.device))
    test = read_examples(folder / "test.csv", columns)
    scores, _ = evaluate(loaded, test)
    show_unless_json = _keep_lines if output.json else show
    show_unless_json(scores.lines(verbose=False))
    tell("4. New pairs")
    new = TextRows(read_examples(folder / "new_pairs.tsv", replace(columns, label=None), require_label=False))
    shown = prediction_columns(loaded.signature, new)
    predictions = predict(loaded, new)
    show_unless_json(prediction_table(shown, prediction_rows(shown, new, predictions)))
    tell("5. Reloading in a fresh process")
    same = _check_reload(finished, loaded, test, folder / "test.csv", options.device)
    show_unless_json([f"{same} of {same} predictions are equal to the last bit"])
    accuracy = metric_text("accuracy", scores.value("accuracy"))
    show_unless_json(
        [
            f"report: {report}",
            f"done in {time.perf_counter() - started:.0f} s: test accuracy {accuracy} ({scores.rows} pairs), "
            f"the reloaded model gives the same predictions; model in {finished.directory.model}",
        ]
    )
    if output.json:
        predicted = [prediction.to_dict() for prediction in predictions]
        told = {"report": str(report), "test": scores.to_dict(), "new_pairs": predicted, "equal_after_reloading": same}
        show_json(finished_values(finished) | told)


def _keep_lines(lines: Iterable[str]) -> None:
    """Takes lines and writes nothing, for --json."""
    list(lines)


def _shown(folder: Path) -> str:
    """The path from the current folder where it is below it: of a checkout, or an environment in it."""
    below = folder.is_relative_to(Path.cwd())
    return str(folder.relative_to(Path.cwd()) if below else folder)


def _refuse_other_runs(out: Path, data: Path) -> None:
    """A demo replaces an earlier demo, and nothing else.

    Raises:
        ConfigError: the folder holds another run.
    """
    from bertune.system.toml_file import read_toml
    from bertune.training.named_paths import place_of
    from bertune.training.run_directory import RunDirectory

    settings = out / "run.toml"
    if not settings.is_file():
        return
    earlier = read_toml(settings).get("train", {}).get("data")
    if place_of(earlier, RunDirectory(out).started_in) != place_of(str(data), Path.cwd()):
        raise ConfigError(f"{out} holds a run that is not a demo", hint="name another folder with --out")


def _check_reload(
    finished: "FinishedRun", model: "LoadedModel", examples: "Examples", data: Path, device: DeviceName
) -> int:
    """Predicts in a new Python on the same device, compares every probability, and returns how many rows that were."""
    from bertune.evaluation.predict_texts import predict

    command = [sys.executable, "-m", "bertune", "predict", str(finished.directory.path), "--data", str(data)]
    command += ["--device", device]
    result = subprocess.run([*command, "--json", "--quiet"], capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode:
        raise BertuneError(f"the reloaded model failed: {result.stderr.strip()}")
    fresh: list[JsonObject] = [json.loads(line) for line in result.stdout.splitlines()]
    own = [prediction.to_dict() for prediction in predict(model, examples)]
    same: int = sum(mine["probabilities"] == theirs["probabilities"] for mine, theirs in zip(own, fresh, strict=True))
    if same != len(own):
        raise BertuneError(f"only {same} of {len(own)} predictions are equal after reloading")
    return same
