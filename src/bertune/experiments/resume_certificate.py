"""A proof that a run goes on bit for bit: made again, killed on its way, resumed, and compared."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from bertune.checkpoints.model_digests import weights_file_digest
from bertune.errors import BertuneError, CheckpointError, ConfigError
from bertune.system.atomic import temporary_name
from bertune.system.hinted_values import MisfitError, from_json, to_json
from bertune.system.json_file import JsonObject, read_json_object
from bertune.training.journal import TIMES
from bertune.training.run_directory import RunDirectory, has_ended, versions
from bertune.wording.counts import counted

CERTIFICATE: Final = "resume-certificate.json"
_SCORES: Final = "scores.json"
_COMPARED: Final = (
    "model/SHA256SUMS",
    "model/model.safetensors",
    _SCORES,
    "calibration.json",
    "validation.jsonl",
    "dynamics.npz",
    "doubtful.jsonl",
    "metrics.jsonl",
)
_JOURNAL: Final = "metrics.jsonl"
_SECONDS_BETWEEN: Final = 0.005
_VARIABLES: Final = "BERTUNE_TRAIN_"


@dataclass(frozen=True)
class ResumeCertificate:
    """What was proved of a run.

    Args:
        interrupted_after: steps after which the second run was killed.
        weights: SHA-256 of the model's weights, which both runs came to.
        compared: SHA-256 of each file that was the same; of `metrics.jsonl` without times.
        made_with: versions and threads.
    """

    interrupted_after: tuple[int, ...]
    weights: str
    compared: dict[str, str]
    made_with: dict[str, str | int]

    def sentence(self) -> str:
        """Says it to people."""
        places = " and ".join(f"{step:,}" for step in self.interrupted_after)
        return (
            f"resume certified: killed after step {places} and resumed, the run ended with the same weights, scores "
            f"and journal, bit for bit ({counted(len(self.compared), 'file')} compared)"
        )


def certify_resume(directory: RunDirectory, *, steps: int, say: Callable[[str], None]) -> ResumeCertificate:
    """Makes a finished run once more in processes of its own, kills them twice, compares, and writes the certificate.

    Args:
        directory: of the run.
        steps: that it took.
        say: told what is done.

    Raises:
        ConfigError: the run is too short to be interrupted.
        BertuneError: the second run failed, or came to something else: names the first file that differs.
    """
    if steps < 3:
        raise ConfigError(f"{counted(steps, 'step')} are too few to be interrupted", hint="leave --certify-resume out")
    folder = temporary_name(directory.path)
    folder.mkdir()
    again = folder / "run"
    settings = ["--config", str(directory.path / "run.toml"), "--save-every", str(max(1, steps // 10))]
    command = [*settings, "--out", str(again)]
    places: list[int] = []
    try:
        for target in (steps // 3, 2 * steps // 3):
            say(f"certifying: training again, killed after about {counted(target, 'step')}")
            _run(command, again, until=target)
            if not (again / "run.toml").is_file() or has_ended(again):
                break
            places.append(_steps_in(again))
            command = ["--resume", str(again)]
        if not places:
            raise ConfigError("the run ended before it could be interrupted", hint="leave --certify-resume out")
        if not has_ended(again):
            say("certifying: resuming to the end")
            _run(command, again, until=None)
        found = {name: digest for name in _COMPARED if (digest := _digest(directory.path / name)) is not None}
        for name in _COMPARED:
            if _digest(again / name) != found.get(name):
                raise BertuneError(
                    f"{directory.path}: the run that was killed and resumed came to another {name}",
                    hint="the run itself is whole; report this with its run.toml",
                )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    made_with: dict[str, str | int] = {**versions(), "threads": torch.get_num_threads()}
    certificate = ResumeCertificate(tuple(places), weights_file_digest(directory.model), found, made_with)
    directory.write_json(CERTIFICATE, to_json(certificate))
    return certificate


def read_certificate(run: Path) -> ResumeCertificate | None:
    """Reads the certificate of a run; None where there is none, or it is of other weights than those that are there."""
    path = run / CERTIFICATE
    if not path.is_file():
        return None
    try:
        certificate = from_json(ResumeCertificate, read_json_object(path))
        return certificate if certificate.weights == weights_file_digest(run / "model") else None
    except (CheckpointError, MisfitError):
        return None


def _run(arguments: list[str], out: Path, *, until: int | None) -> None:
    """Trains in a process of its own, and kills it where its journal has so many steps.

    Raises:
        BertuneError: it failed.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_VARIABLES)}
    process = subprocess.Popen(  # noqa: S603 (this interpreter, our own command)
        [sys.executable, "-m", "bertune", "train", *arguments, "--quiet"],
        env=environment | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while until is not None and process.poll() is None:
            started = time.monotonic()
            if _steps_in(out) >= until:
                process.kill()
                process.communicate()
                return
            # The journal of a long run takes a while to read.
            time.sleep(max(_SECONDS_BETWEEN, 20 * (time.monotonic() - started)))
        _, errors = process.communicate()
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        reason = next((line for line in errors.splitlines() if line.startswith("error: ")), "error: no word")
        raise BertuneError(f"the run that was to be interrupted failed: {reason.removeprefix('error: ')}")


def _steps_in(run: Path) -> int:
    try:
        return (run / _JOURNAL).read_bytes().count(b'"event": "step"')
    except FileNotFoundError:
        return 0


def _digest(path: Path) -> str | None:
    if not path.is_file():
        return None
    content = path.read_bytes()
    if path.name == _JOURNAL:
        lines: list[JsonObject] = [json.loads(line) for line in content.splitlines()]
        timeless = [{key: line[key] for key in line if key not in TIMES} for line in lines]
        content = json.dumps(timeless, allow_nan=False).encode()
    if path.name == _SCORES:
        content = _without_rates(content)
    return hashlib.sha256(content).hexdigest()


def _without_rates(content: bytes) -> bytes:
    """Takes out of scores how fast student and teacher predict; others stay to the byte."""
    values: JsonObject = json.loads(content)
    teacher = values.get("teacher")
    if not isinstance(teacher, dict):
        return content
    values["teacher"] = {name: value for name, value in teacher.items() if not name.endswith("_rows_per_second")}
    return json.dumps(values, allow_nan=False).encode()
