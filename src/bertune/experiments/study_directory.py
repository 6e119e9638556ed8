"""The folder of a study: one run folder a seed, the table of all, and the model that was kept."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from bertune.checkpoints.signature import SIGNATURE_FILE
from bertune.errors import DataError
from bertune.experiments.interrupted import ANOTHER, Interrupted
from bertune.experiments.study_table import EndedStudy, SeedResult, StudyTable
from bertune.system.atomic import replaced_file, replaced_folder
from bertune.system.hinted_values import MisfitError, from_json, to_json
from bertune.system.json_file import MAX_OWN_BYTES, read_json_object
from bertune.training.run_directory import RunDirectory

_TABLE, _MODEL, _SCORES = "seeds.json", "model", "scores.json"
_ABOUT_THE_MODEL = ("calibration.json", "validation.jsonl")


@dataclass(frozen=True)
class EarlierStudy(Interrupted):
    """What a folder holds of a study.

    Args:
        results: of the seeds that are done.
    """

    what = "study"

    results: tuple[SeedResult, ...] = ()


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
            table = from_json(StudyTable, read_json_object(path, max_bytes=MAX_OWN_BYTES, error=DataError))
            if table.data is None:
                raise MisfitError("is missing", "data")
        except (DataError, MisfitError) as error:
            raise DataError(f"{path}: not the table of a study", hint=ANOTHER) from error
        return EarlierStudy(table.settings, table.data, self.started_in, tuple(filter(self._is_whole, table.results)))

    def has_results(self) -> bool:
        """Whether any seed came to a model."""
        return any(result.status != "diverged" for result in self._done())

    def _what_is_left(self, error: BaseException | None = None) -> str:
        del error
        return f"the same command, without --overwrite, resumes; {self._seeds_done()}"

    def how_to_resume(self, error: BaseException | None = None) -> str:
        """See `RunDirectory`."""
        del error
        return f"the same command, with --out {self.path} and without --overwrite, resumes; {self._seeds_done()}"

    def _seeds_done(self) -> str:
        return f"seeds that are done: {', '.join(str(result.seed) for result in self._done())}"

    def _done(self) -> tuple[SeedResult, ...]:
        try:
            earlier = self.earlier()
        except DataError:
            return ()
        return () if earlier is None else earlier.results

    def _is_whole(self, result: SeedResult) -> bool:
        """Whether the model of a seed that is said to be done is there."""
        return result.status == "diverged" or (self.model_of(result) / SIGNATURE_FILE).is_file()

    def model_of(self, result: SeedResult) -> Path:
        """The model folder of a seed."""
        return self.path / result.folder / _MODEL

    def write_table(self, table: StudyTable | EndedStudy) -> None:
        """Writes `seeds.json`, the results in the order of the seeds."""
        ordered = tuple(sorted(table.results, key=lambda result: result.seed))
        self.write_json(_TABLE, to_json(replace(table, results=ordered)))

    def keep_model_of(self, result: SeedResult) -> None:
        """Makes a seed's model, and its scores, those of the study."""
        with replaced_folder(self.model) as temporary:
            shutil.copytree(self.model_of(result), temporary, dirs_exist_ok=True)
        run = self.path / result.folder
        for name in _ABOUT_THE_MODEL:
            if (run / name).is_file():
                with replaced_file(self.path / name, follow=False) as temporary:
                    shutil.copyfile(run / name, temporary)
        # Last, since they say whose the others are.
        scores = read_json_object(run / _SCORES, max_bytes=MAX_OWN_BYTES, error=DataError)
        self.write_json(_SCORES, {"seed": result.seed, **scores})
