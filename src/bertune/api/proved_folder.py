"""A folder that may be published: a model or an export whose files are those that were proved, and nothing else."""

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from bertune.checkpoints.model_files import find_model_folder
from bertune.checkpoints.model_folder import LoadedModel, load
from bertune.checkpoints.read_signature import read_signature
from bertune.checkpoints.signature import SIGNATURE_FILE, ModelSignature
from bertune.errors import ConfigError
from bertune.evaluation.saved_scores import SavedScores
from bertune.exports.agreement import weights_digest
from bertune.exports.proved_export import OnProgress, export
from bertune.reports.run_files import read_scores, read_settings
from bertune.runtime.export_files import AGREEMENT_FILE, CARD_FILE, PROOF_FILE, check_files, is_export, read_agreement
from bertune.runtime.exported_model import SIGNATURE_FILE as EXPORTED_SIGNATURE
from bertune.runtime.stored_rows import ROWS_FILE, StoredRows
from bertune.system.json_file import JsonObject
from bertune.training.run_directory import has_ended


@dataclass(frozen=True)
class ProvedFolder:
    """What was written.

    Args:
        agreement: what the proof found.
        signature: of the model.
        scores: by the split that was scored, of rows that it was not trained on.
    """

    agreement: JsonObject
    signature: ModelSignature
    scores: dict[str, SavedScores]


def write_proved(
    source: Path | LoadedModel,
    out: Path,
    *,
    base_model: str,
    scores_of: Path | None,
    with_rows: bool,
    on_progress: OnProgress | None,
) -> ProvedFolder:
    """Writes the folder that is to be published, from a run, a model or an export.

    A model is exported for transformers, which proves the export against the model. Of an export the files that its
    proof names are copied, and only those; the copies are compared with the digests of the proof.

    Args:
        source: folder of a run, of a model or of an export; or a model.
        out: a new folder.
        base_model: that the model's signature names in the place of one that may be a folder of this machine.
        scores_of: run that an export was made of, for its scores.
        with_rows: keeps texts among the rows that an export is proved again by; they can be read from their token ids.
        on_progress: told how far a proof is.

    Raises:
        ConfigError: the run has not ended, or `scores_of` is another model's.
        CheckpointError: a file is missing or changed.
        BertuneError: the export does not equal the model.
    """
    if isinstance(source, Path) and is_export(source):
        return _copied_export(source, out, scores_of, with_rows=with_rows)
    if scores_of is not None:
        raise ConfigError(f"{source} is no export, so --scores-of has no effect", hint="leave --scores-of out")
    scores = {} if isinstance(source, LoadedModel) else _scores_of(source)
    model = source if isinstance(source, LoadedModel) else load(find_model_folder(source))
    named = LoadedModel(model.classifier, model.tokenizer, replace(model.signature, base_model=base_model))
    agreement = export(named, out, format="transformers", on_progress=on_progress)
    return ProvedFolder(agreement.to_dict(), model.signature, scores)


def signature_of(source: Path) -> ModelSignature:
    """Reads the signature of a run, a model or an export.

    Raises:
        CheckpointError: the file is missing or damaged.
        DataError: there is no model in the folder.
    """
    if not is_export(source):
        return read_signature(find_model_folder(source))
    found = (
        name for name in read_agreement(source)["files"] if Path(name).name in (EXPORTED_SIGNATURE, SIGNATURE_FILE)
    )
    path = source / next(found, EXPORTED_SIGNATURE)
    return ModelSignature.read(path.parent, name=path.name)


def trained_on(source: Path) -> str:
    """Returns the data that a run was trained on, as it names them; empty where there is no run."""
    return str(read_settings(source).of_verb.get("data", "")) if (source / "run.toml").is_file() else ""


def _copied_export(source: Path, out: Path, scores_of: Path | None, *, with_rows: bool) -> ProvedFolder:
    agreement = read_agreement(source)
    check_files(source, agreement["files"])
    if not with_rows and ROWS_FILE in agreement["files"] and StoredRows.read(source).validation is not None:
        raise ConfigError(
            f"{source} is proved in int8 by validation rows, whose texts can be read from {ROWS_FILE}",
            hint="--with-rows uploads them, too; an export in float32 needs none",
        )
    for name in (*agreement["files"], AGREEMENT_FILE, PROOF_FILE, CARD_FILE):
        if (source / name).is_file():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, out / name)
    # What is sent is what was checked, whatever becomes of the source.
    check_files(out, agreement["files"])
    if not with_rows and ROWS_FILE in agreement["files"]:
        agreement = _without_texts(out, agreement)
    signature = signature_of(out)
    if scores_of is None:
        return ProvedFolder(agreement, signature, {})
    model = load(find_model_folder(scores_of))
    if weights_digest(model.classifier) != agreement.get("weights_digest"):
        raise ConfigError(f"{source} is no export of {scores_of}", hint="name the run that it was made of")
    return ProvedFolder(agreement, signature, _scores_of(scores_of))


def _without_texts(folder: Path, agreement: JsonObject) -> JsonObject:
    """Takes the texts out of the rows of an export's proof, and returns its agreement with the digest of the rest."""
    StoredRows.read(folder).without_texts().write(folder)
    with (folder / ROWS_FILE).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    agreement = {**agreement, "files": {**agreement["files"], ROWS_FILE: digest}}
    text = json.dumps(agreement, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / AGREEMENT_FILE).write_text(text + "\n", encoding="utf-8")
    return agreement


def _scores_of(path: Path) -> dict[str, SavedScores]:
    """Reads the scores of a run by their split; of a model without its run there are none.

    Raises:
        ConfigError: the run has not ended.
        DataError: the file is damaged.
    """
    if not (path / "run.toml").is_file():
        return {}
    if not has_ended(path):
        raise ConfigError(f"{path}: the run has not ended", hint=f"end it first: bertune train --resume {path}")
    scores = read_scores(path)
    if scores is None:
        return {}
    by_split = {"validation": scores.validation, "cross_validation": scores.cross_validation, **scores.also}
    return {name: found for name, found in by_split.items() if found is not None}
