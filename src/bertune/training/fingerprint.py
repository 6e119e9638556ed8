"""What a run's last bits depend on beside its state: a run is resumed only where all of it is the same."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata

import numpy as np
import torch

from bertune.batches.dataset import Dataset
from bertune.errors import ConfigError
from bertune.kernels.build import NoKernelsError, library_key, processor_words
from bertune.kernels.encoder_pass import require_kernels
from bertune.models.classifier import Classifier
from bertune.nn.precision import choose_precision, name_of
from bertune.training.named_paths import Settings
from bertune.training.prepare import PreparedRun
from bertune.training.resolved_settings import resolved_settings
from bertune.training.same_weights import digest_of_tensors
from bertune.wording.counts import counted

_NOT_COMPARED = frozenset({"out", "save-every", "keep-last", "keep-checkpoints"})


@dataclass(frozen=True)
class Arithmetic:
    """What computes, as far as other bits could come of it.

    Args:
        bertune: its version, as for the next two.
        torch: its version.
        numpy: its version; it draws the order of the examples.
        threads: of torch and of the compiled kernels.
        device: cpu or cuda; of an accelerator its name.
        precision: of the layers.
        engine: compiled kernels, or why not.
        kernels: digest of the kernels' sources, flags, compiler and processor; empty without them.
        processor: digest of its model and features, and what torch makes of it.
        processes: that train together.
    """

    bertune: str
    torch: str
    numpy: str
    threads: int
    device: str
    precision: str
    engine: str
    kernels: str
    processor: str
    processes: int = 1


@dataclass(frozen=True)
class Fingerprint:
    """What must be the same for a run to be resumed.

    Args:
        settings: of the run, by the names of the flags.
        data: digest of all rows that are trained, validated or scored, as ids and targets.
        tokenizer: its digest.
        start: digest of the weights that training starts from, where the regression on frozen features needs them
            again; empty where nothing does.
        arithmetic: what computes.
        teacher: digest of the teacher's model; empty without one.
    """

    settings: Settings
    data: str
    tokenizer: str
    start: str
    arithmetic: Arithmetic
    teacher: str = ""


def fingerprint_of(run: PreparedRun, *, processes: int = 1) -> Fingerprint:
    """Takes the fingerprint of a run on this machine, before anything changed its classifier's weights.

    Args:
        run: as it was prepared.
        processes: that train it.
    """
    settings = {name: value for name, value in resolved_settings(run).items() if name not in _NOT_COMPARED}
    needs_start = run.baselines is None and run.validation is not None and not run.settings.skip_probe
    needs_start = needs_start or run.config.lora is not None  # its adapters say what is added to the start
    start = digest_of_tensors(dict(run.classifier.named_parameters())) if needs_start else ""
    return Fingerprint(
        settings,
        digest_of_rows(run),
        run.tokenizer.digest,
        start,
        arithmetic_of(run, processes),
        "" if run.teaching is None else run.teaching.digest,
    )


def arithmetic_of(run: PreparedRun, processes: int = 1) -> Arithmetic:
    """Tells what would compute a run here, in so many processes."""
    device = run.classifier.device
    dtype = choose_precision(run.config.precision, device)
    engine, kernels = _engine_of(run.classifier, dtype)
    words = json.dumps([*processor_words(), torch.backends.cpu.get_cpu_capability()], allow_nan=False)
    return Arithmetic(
        bertune=metadata.version("bertune"),
        torch=metadata.version("torch"),
        numpy=metadata.version("numpy"),
        threads=torch.get_num_threads(),
        device=device.type if device.type == "cpu" else f"{device.type}, {torch.cuda.get_device_name(device)}",
        precision=name_of(dtype),
        engine=engine,
        kernels=kernels,
        processor=hashlib.sha256(words.encode()).hexdigest(),
        processes=processes,
    )


def digest_of_rows(run: PreparedRun) -> str:
    """Returns a digest of the rows that are trained, validated and scored, each split by its name."""
    digest = hashlib.sha256()
    for name, dataset in {"train": run.train, "validation": run.validation, **run.also_scored}.items():
        digest.update(f"{name}\0".encode())
        if dataset is not None:
            _add_rows(digest, dataset)
    return digest.hexdigest()


def check_same(then: Fingerprint, now: Fingerprint, run: str) -> str | None:
    """Refuses to resume where a result could be another.

    The number of processes alone may be another, and with it that of threads: the same examples make the same steps,
    only their sums are rounded elsewhere.

    Args:
        then: when the checkpoint was made.
        now: of what would be resumed.
        run: the folder, for messages.

    Returns:
        A warning where the last bits will be others; else None.

    Raises:
        ConfigError: names the first thing that changed.
    """
    warning = None
    before, here = then.arithmetic, now.arithmetic
    if before.processes != here.processes:
        warning = (
            f"warning: {run} was trained by {counted(before.processes, 'process', 'processes')} and goes on with "
            f"{here.processes}: nothing is lost, but the last bits differ from those of a run that did not change"
        )
        then = replace(then, arithmetic=replace(before, processes=here.processes, threads=here.threads))
    for told, hint in _differences(then, now):
        raise ConfigError(f"{run} cannot be resumed as it began: {told}", hint=hint)
    return warning


def check_same_in_all(prints: Sequence[Fingerprint]) -> None:
    """Refuses to train in processes that would not do the same.

    Args:
        prints: of each process, by rank.

    Raises:
        ConfigError: names the process, and the first thing that is another there than in process 0.
    """
    first = prints[0]
    # Threads may be others: each process has a share of the examples of its own.
    same = replace(first.arithmetic, threads=0)
    for rank, each in enumerate(prints):
        for told, _ in _differences(
            replace(first, arithmetic=same), replace(each, arithmetic=replace(each.arithmetic, threads=0))
        ):
            raise ConfigError(
                f"process {rank} (from 0) would not train the same run as process 0: {told}",
                hint="all machines need the same data, model, versions and kind of processor",
            )


def _differences(then: Fingerprint, now: Fingerprint) -> Iterator[tuple[str, str]]:
    for name in sorted(then.settings.keys() | now.settings.keys()):
        before, after = (each.settings.get(name, "not set") for each in (then, now))
        if before != after:
            yield f"{name} was {before} and is {after}", f"set {name} in its run.toml back to {before}"
    if then.data != now.data:
        yield "the rows of its data have changed since", "bring the files back as they were, or begin a new run"
    if then.tokenizer != now.tokenizer:
        yield "its tokenizer has changed since", "bring the tokenizer back as it was, or begin a new run"
    if then.start != now.start:
        yield "the encoder that it started from has changed since", "bring the model back as it was, or begin a new run"
    if then.teacher != now.teacher:
        yield "its teacher has changed since", "bring the teacher back as it was, or begin a new run"
    here = vars(now.arithmetic)
    for name, value in vars(then.arithmetic).items():
        if value != here[name]:
            yield _told_of(name, value, here[name])


def _told_of(name: str, before: str | int, after: str | int) -> tuple[str, str]:
    if name == "threads":
        return (
            f"it was trained by {counted(int(before), 'thread')}, and here there are {after}",
            f"set OMP_NUM_THREADS={before}",
        )
    if name in ("kernels", "processor"):
        what = "the compiled kernels are others" if name == "kernels" else "the processor is another"
        return f"{what}, so that the last bits would be others", "resume it on the machine that it was started on"
    if name in ("bertune", "torch", "numpy"):
        return f"{name} was {before} and is {after}", f"install {name}=={before}"
    return f"its {name} was {before} and would be {after}", "resume it in the same environment"


def _engine_of(classifier: Classifier, dtype: torch.dtype) -> tuple[str, str]:
    if classifier.device.type != "cpu":
        return "torch operators", ""
    try:
        require_kernels(classifier.encoder, dtype)
        return "compiled kernels", library_key()
    except NoKernelsError as reason:
        return f"torch operators: {reason}", ""


def _add_rows(digest: "hashlib._Hash", dataset: Dataset) -> None:
    encoded = dataset.encoded
    arrays = [encoded.token_ids, encoded.offsets, encoded.first_lengths, encoded.example_offsets, dataset.targets]
    if dataset.soft is not None:
        arrays += [dataset.soft.values, dataset.soft.labelled]
    for array in arrays:
        digest.update(b"none" if array is None else str((array.dtype, array.shape)).encode())
        if array is not None and array.size:
            digest.update(np.ascontiguousarray(array).data.cast("B"))
