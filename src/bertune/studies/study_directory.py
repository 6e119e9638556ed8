"""The folder of a study: one run folder a seed, the table of all, and the model that was kept."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertune.atomic import replaced_file, replaced_folder, write_text
from bertune.checkpoints.contract import CONTRACT_FILE
from bertune.errors import ConfigError, DataError
from bertune.studies.seed_run import SeedResult
from bertune.training.run_directory import RunDirectory

_TABLE, _MODEL, _SCORES = "seeds.json", "model", "scores.json"
_ABOUT_THE_MODEL = ("calibration.json", "validation.jsonl")


@dataclass(frozen=True)
class EarlierStudy:
    """What a folder holds of a study that ended or was interrupted.

    Args:
        settings: of its runs, by the names of the flags.
        data: digest of what it was trained and validated on.
        results: of the seeds that are done.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    data: str = ""
    results: tuple[SeedResult, ...] = ()

    def check_same(self, settings: dict[str, Any], data: str, path: Path) -> None:
        """Refuses to go on with other settings or other data.

        Raises:
            ConfigError: names the first setting that differs.
        """
        hint = "name a new folder with --out, or add --overwrite"
        for name in sorted(self.settings.keys() | settings.keys()):
            then, now = self.settings.get(name, "not set"), settings.get(name, "not set")
            if then != now:
                raise ConfigError(f"{path} holds a study with another {name}: {then} then, {now} now", hint=hint)
        if self.data != data:
            raise ConfigError(f"{path} holds a study of other data: the files have changed since", hint=hint)


class StudyDirectory(RunDirectory):
    """Where a study of seeds leaves everything, beside what a `RunDirectory` has.

    | file | what |
    |---|---|
    | `run.toml` | all settings, resolved; `bertune train --config run.toml --out NEW` repeats the study |
    | `seeds.json` | each seed's result as soon as it is there; at the end mean, spread, best and the average |
    | `seed-N/` | the run of seed N, like any other |
    | `model/` | the model that was kept |
    | `scores.json`, `calibration.json`, `validation.jsonl` | about it, as a run has them |
    """

    def earlier(self) -> EarlierStudy | None:
        """Returns the study that the folder holds, None where it holds none.

        Raises:
            DataError: `seeds.json` is damaged.
        """
        path = self.path / _TABLE
        if not path.is_file():
            return None
        try:
            values = json.loads(path.read_text("utf-8"))
            results = [SeedResult.from_dict(result) for result in values["results"]]
            study = EarlierStudy(values["settings"], values["data"], tuple(filter(self._is_whole, results)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: not the table of a study", hint="name a new folder, or add --overwrite"
            ) from error
        return study

    def _is_whole(self, result: SeedResult) -> bool:
        """Whether the model of a seed that is said to be done is there."""
        return result.status == "diverged" or (self.model_of(result) / CONTRACT_FILE).is_file()

    def model_of(self, result: SeedResult) -> Path:
        """The model folder of a seed."""
        return self.path / result.folder / _MODEL

    def write_table(self, settings: dict[str, Any], data: str, results: list[SeedResult], **more: Any) -> None:
        """Writes `seeds.json`.

        Args:
            settings: of the runs.
            data: digest of the data.
            results: of the seeds that are done.
            more: what is known at the end.
        """
        ordered = sorted(results, key=lambda result: result.seed)
        values = {**more, "results": [result.to_dict() for result in ordered], "settings": settings, "data": data}
        write_text(self.path / _TABLE, json.dumps(values, indent=2, ensure_ascii=False) + "\n")

    def keep_model_of(self, result: SeedResult) -> None:
        """Makes a seed's model, and its scores, those of the study."""
        with replaced_folder(self.model) as temporary:
            shutil.copytree(self.model_of(result), temporary, dirs_exist_ok=True)
        run = self.path / result.folder
        scores = json.loads((run / _SCORES).read_text("utf-8"))
        self.write_json(_SCORES, {"seed": result.seed, **scores})
        for name in _ABOUT_THE_MODEL:
            if (run / name).is_file():
                with replaced_file(self.path / name) as temporary:
                    shutil.copyfile(run / name, temporary)
