"""A study of seeds: the same run with several seeds, as one result."""

from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bertune.checkpoints.model_folder import save
from bertune.checkpoints.signature import ModelSignature
from bertune.errors import ConfigError, DivergedError
from bertune.evaluation.calibration import Calibration
from bertune.evaluation.scores import Scores
from bertune.experiments.data_digest import digest_of_data
from bertune.experiments.seed_process import SeedProcesses
from bertune.experiments.seed_run import folder_name, run_seed
from bertune.experiments.seed_settings import SeedSettings
from bertune.experiments.soup import Average, averages, best_of
from bertune.experiments.study_directory import StudyDirectory
from bertune.experiments.study_table import EndedStudy, KeptModel, SeedResult, StudyTable
from bertune.experiments.summary import Summary, summarize
from bertune.fetch.download import Report
from bertune.models.classifier import Classifier
from bertune.nn.device import choose_device
from bertune.training.also_scored import score_kept_model
from bertune.training.calibrated import calibrated
from bertune.training.callback import Callback
from bertune.training.config import TrainingConfig
from bertune.training.named_paths import Settings
from bertune.training.objective import Objective
from bertune.training.prepare import PreparedRun, Say, prepare, with_seed
from bertune.training.reading import TEST
from bertune.training.resolved_settings import resolved_settings
from bertune.training.run_advice import baselines_of
from bertune.training.run_rows import write_validation_rows
from bertune.training.run_settings import RunSettings
from bertune.training.saved_run import RunScores
from bertune.training.teacher_answers import taught

# Two processes of two threads each are faster than one after another with four; of one thread each they are not.
_LEAST_THREADS_FOR_TWO = 4
# What may differ between an interrupted study and the command that goes on with it.
_NOT_OF_THE_RUNS = ("out", "seed")


@dataclass(frozen=True)
class PreparedStudy:
    """Everything that is known before the first step.

    Args:
        run: the first seed's; the data of all.
        seeds: to train.
        settings: about the seeds.
        parallel: how many at a time.
        threads: of each.
        runs: the settings that all seeds have in common, as `run.toml` has them.
        data: digest of the training and validation data.
    """

    run: PreparedRun
    seeds: tuple[int, ...]
    settings: SeedSettings
    parallel: int
    threads: int
    runs: Settings
    data: str


@dataclass(frozen=True)
class FinishedStudy:
    """What a study came to.

    Args:
        directory: where everything is.
        summary: all seeds together.
        metric: by which best was chosen.
        averages: what averaging came to; empty where it was not asked for.
        kept: the average that is the model now; None where the best seed is.
        test: scores of the model that is kept on the test rows; None without such.
    """

    directory: StudyDirectory
    summary: Summary
    metric: str
    averages: tuple[Average, ...] = ()
    kept: Average | None = None
    test: Scores | None = None


def prepare_study(
    settings: RunSettings,
    config: TrainingConfig,
    seeds: SeedSettings,
    *,
    say: Say,
    verbose: bool = False,
    on_fetch: Report | None = None,
    frames: Mapping[str, Any] | None = None,
) -> PreparedStudy:
    """Reads, checks and encodes once for all seeds; writes nothing.

    Args:
        settings: what to read and where to start from; `out` is the folder of the study.
        config: how to train; its seed is the first where seeds are counted.
        seeds: which, and what becomes of them.
        say: told each fact as a line.
        verbose: tell more of the data and the encoder, as `prepare`.
        on_fetch: told how far the download of a model is.
        frames: tables in memory, as for `prepare`.

    Raises:
        BertuneError: any part that cannot work; nothing has been written.
    """
    if seeds.are_named and config.seed != TrainingConfig.seed:
        raise ConfigError(f"--seeds {seeds.seeds} names each seed, so --seed has no effect", hint="leave --seed out")
    numbers = seeds.numbers(config.seed)
    configs = [replace(config, seed=number) for number in numbers]  # checks each
    parallel, threads = _shares(seeds.parallel_seeds, len(numbers), choose_device(settings.device).type)
    directory = StudyDirectory(settings.out)
    earlier = None if settings.overwrite else directory.earlier()
    told = replace(settings, overwrite=settings.overwrite or earlier is not None)
    run = prepare(told, configs[0], say=say, verbose=verbose, on_fetch=on_fetch, frames=frames)
    if run.validation is None:
        raise ConfigError(
            "--seeds needs validation data: the best seed is chosen by them",
            hint="name some with --validation FILE, or hold training rows back: --validation 0.1",
        )
    run = replace(run, settings=replace(run.settings, overwrite=settings.overwrite))
    study = PreparedStudy(run, numbers, seeds, parallel, threads, _settings_of_runs(run), digest_of_data(run))
    if earlier is not None:
        earlier.check_same(study.runs, study.data, settings.out)
    return study


def execute_study(
    study: PreparedStudy, *, say: Say, callback_of: Callable[[int, int], Callback | None] | None = None
) -> FinishedStudy:
    """Trains the seeds that are not done yet, and writes the folder of the study.

    A seed that is done is on disk at once: after an interruption the same command goes on with the others.

    Args:
        study: what was prepared.
        say: told what is found and kept.
        callback_of: makes what watches a seed, from its number and its place among all, from 1.

    Raises:
        ConfigError: the folder holds something else.
        DivergedError: all seeds diverged.
    """
    run = study.run
    directory = StudyDirectory(run.settings.out)
    overwrite = run.settings.overwrite
    resumes = not overwrite and directory.earlier() is not None
    with directory.started(overwrite=overwrite, resumes=resumes):
        earlier = directory.earlier()
        if earlier is not None:
            earlier.check_same(study.runs, study.data, directory.path)
        results = [] if earlier is None else list(earlier.results)
        directory.write_settings(_settings_of_study(study, results))
        directory.write_table(_table(study, results))
        for line in _lines_about(results, study):
            say(line)
        done = {result.seed for result in results}
        places = {seed: place for place, seed in enumerate(study.seeds, start=1)}
        waiting = {
            seed: None if callback_of is None else callback_of(seed, places[seed])
            for seed in study.seeds
            if seed not in done
        }
        if run.teaching is not None:
            run = replace(run, teaching=replace(run.teaching, cache=directory.path))
            taught(run, directory.path, say=say)  # once: the seeds take the answers from there
            study = replace(study, run=run)
        if waiting:  # the same for all seeds
            study = replace(study, run=replace(run, baselines=baselines_of(run)))
        with closing(_trained(study, waiting)) as trained:
            for result in trained:
                results.append(result)
                directory.write_table(_table(study, results))
                directory.forget_earlier_run(ended=False)
        return _conclude(study, directory, results, say)


def _conclude(study: PreparedStudy, directory: StudyDirectory, results: list[SeedResult], say: Say) -> FinishedStudy:
    """Chooses what is kept, and writes what all came to."""
    summary = summarize(results)
    if summary.best is None:
        first = summary.results[0]
        raise DivergedError(
            f"all {len(results)} seeds diverged; seed {first.seed}: {first.reason}",
            hint="lower --learning-rate, lengthen --warmup-fraction, or use --precision fp32",
        )
    best = next(result for result in results if result.seed == summary.best)
    found: list[Average] = []
    kept = None
    if study.settings.average:
        found, classifier = _average(study, directory, summary)
        if not found:
            say("nothing to average: fewer than two seeds neither collapsed nor diverged")
        kept = None if classifier is None else best_of(found)
    if kept is None or classifier is None:
        directory.keep_model_of(best)
    else:
        _keep_average(study.run, directory, kept, classifier)
    test = score_kept_model(study.run, directory.path)
    metric = study.run.signature.metrics[0]
    ended = EndedStudy(
        chosen_by=f"validation {metric}",
        test="not used" if test is None else "scored once, at the end",
        model=KeptModel((best.seed,), "best seed") if kept is None else KeptModel(kept.seeds, kept.recipe),
        summary=summary.saved(),
        averages=tuple(average.saved() for average in found),
        **vars(_table(study, results)),
    )
    directory.write_table(ended)
    return FinishedStudy(directory, summary, metric, tuple(found), kept, test)


def _table(study: PreparedStudy, results: list[SeedResult]) -> StudyTable:
    return StudyTable(tuple(results), study.runs, study.data)


def _average(
    study: PreparedStudy, directory: StudyDirectory, summary: Summary
) -> tuple[list[Average], Classifier | None]:
    sound = [result for result in summary.results if result.status == "finished" and not result.collapsed]
    if len(sound) < 2:
        return [], None
    ordered = sorted(sound, key=lambda result: (result.chosen_value, -(result.loss or 0.0)), reverse=True)
    models = [(result.seed, directory.model_of(result)) for result in ordered]
    return averages(models, lambda classifier: _judge(study.run, classifier).scores)


@dataclass(frozen=True)
class _Judged:
    """What a classifier is worth on the validation data, by a temperature and thresholds of its own."""

    logits: NDArray[np.float32]
    scores: Scores
    signature: ModelSignature
    calibration: Calibration | None


def _judge(run: PreparedRun, classifier: Classifier) -> _Judged:
    assert run.validation is not None
    objective = Objective.of(run.signature)
    validation = objective.checked(run.validation, "validation", classifier)
    assert validation.targets is not None
    _, logits = objective.score(classifier, validation, run.train.known_targets)
    signature, scores, found = calibrated(run.signature, logits, validation.targets, run.settings)
    return _Judged(logits, scores, signature, found)


def _keep_average(run: PreparedRun, directory: StudyDirectory, kept: Average, classifier: Classifier) -> None:
    """Makes an average the study's model, with everything that a run writes about the model it keeps."""
    judged = _judge(run, classifier)
    scores = {"metrics": judged.scores.values, "rows": judged.scores.rows}
    save(classifier, directory.model, tokenizer=run.tokenizer, signature=judged.signature, scores=scores)
    if judged.calibration is not None:
        directory.write_calibration(judged.calibration.saved())
    assert run.validation is not None
    path, describe = directory.path / "validation.jsonl", run.describe["validation"]
    write_validation_rows(path, describe, run.validation, judged.logits, run.signature)
    directory.write_scores(RunScores(average=kept.recipe, seeds=kept.seeds, validation=judged.scores.saved()))


def _trained(study: PreparedStudy, callbacks: dict[int, Callback | None]) -> Generator[SeedResult]:
    """Yields the result of each seed as it is done."""

    def of(seed: int) -> PreparedRun:
        # Its folder is the study's own: what an interrupted run left there is replaced.
        out = study.run.settings.out / folder_name(seed)
        run = with_seed(study.run, seed, out)
        # The test rows are for the model that is kept, and for no other.
        unchosen = {name: data for name, data in run.also_scored.items() if name != TEST}
        return replace(run, settings=replace(run.settings, overwrite=True, test=None), also_scored=unchosen)

    if study.parallel == 1:
        for seed, callback in callbacks.items():
            yield run_seed(of(seed), callback)
        return
    processes = SeedProcesses(study.threads)
    with ThreadPoolExecutor(study.parallel, thread_name_prefix="seed") as pool:
        try:
            futures = [
                pool.submit(lambda s, o: processes.run(of(s), o), seed, callback)
                for seed, callback in callbacks.items()
            ]
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            processes.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _shares(parallel: int | None, seeds: int, device: str) -> tuple[int, int]:
    """Returns how many seeds are trained at a time and how many threads each has."""
    threads = torch.get_num_threads()
    if parallel is None:
        parallel = 2 if device == "cpu" and threads >= _LEAST_THREADS_FOR_TWO else 1
    if parallel > threads:
        raise ConfigError(
            f"--parallel-seeds {parallel} needs as many threads, and there are {threads}",
            hint="more processes than threads are many times slower; OMP_NUM_THREADS sets their number",
        )
    parallel = min(parallel, seeds)
    return parallel, threads // parallel


def _settings_of_runs(run: PreparedRun) -> Settings:
    """What every seed has in common."""
    return {name: value for name, value in resolved_settings(run).items() if name not in _NOT_OF_THE_RUNS}


def _settings_of_study(study: PreparedStudy, earlier: list[SeedResult]) -> Settings:
    values = resolved_settings(study.run)
    assert study.settings.seeds is not None, "a study has seeds"
    values["seeds"] = study.settings.seeds
    others = {result.seed for result in earlier}.difference(study.seeds)
    if others:  # they count in the result, so the command that repeats it trains them as well
        values["seeds"] = ",".join(str(seed) for seed in sorted(others.union(study.seeds)))
    if isinstance(values["seeds"], str):
        del values["seed"]
    # Written out, since the number of threads of a run decides its last bits.
    values["parallel-seeds"] = study.parallel
    if study.settings.average:
        values["average"] = True
    return values


def _lines_about(results: list[SeedResult], study: PreparedStudy) -> list[str]:
    lines = []
    if results:
        done = ", ".join(str(result.seed) for result in results)
        lines.append(f"resuming the study in {study.run.settings.out}: seeds {done} are done")
    if study.parallel > 1:
        lines.append(f"{study.parallel} seeds at a time, {study.threads} threads each")
    return lines
