"""A run, a model or an export on the hub: proved, described, uploaded."""

import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from bertune.api.card_facts import CardFacts
from bertune.api.hub_card import export_card_text, hub_card
from bertune.api.hub_upload import HubTarget, Uploaded, require_account, upload
from bertune.api.proved_folder import ProvedFolder, signature_of, trained_on, write_proved
from bertune.checkpoints.model_card import hub_name
from bertune.checkpoints.model_folder import LoadedModel
from bertune.errors import ConfigError
from bertune.exports.proved_export import OnProgress
from bertune.runtime.export_files import CARD_FILE
from bertune.system.atomic import replaced_folder

_OF_THE_HUB = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)")


@dataclass(frozen=True)
class Source:
    """What is published.

    Args:
        model: folder of a run, of a model or of an export; or a model.
        scores_of: run that an export was made of, for the scores of its card.
        with_rows: keeps texts among the rows that an export is proved again by.
    """

    model: Path | LoadedModel
    scores_of: Path | None = None
    with_rows: bool = False


@dataclass(frozen=True)
class Pushed:
    """What was written or uploaded.

    Args:
        proved: the folder.
        files: of it, by their paths in the folder.
        uploaded: what the hub has made of it; None where nothing was sent.
    """

    proved: ProvedFolder
    files: tuple[str, ...]
    uploaded: Uploaded | None


def address_of(pushed: Pushed) -> str:
    """Returns the address of what was uploaded."""
    assert pushed.uploaded is not None
    return pushed.uploaded.commit


def completed(facts: CardFacts, source: Source) -> CardFacts:
    """Adds what the model or its run knows: the base model, and data that came from the hub.

    Raises:
        BertuneError: there is no model, or its signature is damaged.
    """
    signature = source.model.signature if isinstance(source.model, LoadedModel) else signature_of(source.model)
    run = source.scores_of or source.model
    data = _OF_THE_HUB.match(trained_on(run)) if isinstance(run, Path) else None
    return replace(
        facts,
        base_model=facts.base_model or hub_name(signature.base_model) or "",
        datasets=facts.datasets or (() if data is None else (data[1],)),
    )


def push(
    source: Source,
    target: HubTarget,
    facts: CardFacts,
    *,
    token: str | None = None,
    show_progress: bool = False,
    on_progress: OnProgress | None = None,
) -> Pushed:
    """Proves a model, writes its card, and uploads the folder.

    Args:
        source: what is published.
        target: where to.
        facts: for the card; what the model or its run knows is added.
        token: of the account; None takes the one that is kept.
        show_progress: draws bars for the upload.
        on_progress: told how far a proof is.

    Raises:
        ConfigError: facts are missing, or the hub refuses name, card or account.
        ResourceError: the hub cannot be reached, or takes no more.
        BertuneError: the folder cannot be proved.
    """
    facts = completed(facts, source)
    facts.require_all()
    require_account(token)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "model"
        proved = _written(source, folder, target.name, facts, on_progress)
        uploaded = upload(folder, target, token=token, show_progress=show_progress)
        return Pushed(proved, _files(folder), uploaded)


def write_unsent(
    source: Source, out: Path, name: str, facts: CardFacts, *, on_progress: OnProgress | None = None
) -> Pushed:
    """Writes the folder that `push` would upload, and sends nothing.

    Args:
        source: what would be published.
        out: a new folder.
        name: of the repository.
        facts: for the card.
        on_progress: told how far a proof is.

    Raises:
        ConfigError: facts are missing, or the folder exists.
        BertuneError: the folder cannot be proved.
    """
    facts = completed(facts, source)
    facts.require_all()
    if out.exists():
        raise ConfigError(f"{out} exists", hint="name a folder that does not exist yet")
    with replaced_folder(out) as temporary:
        proved = _written(source, temporary / "model", name, facts, on_progress)
        for path in (temporary / "model").iterdir():
            path.rename(temporary / path.name)
        (temporary / "model").rmdir()
    return Pushed(proved, _files(out), None)


def _written(source: Source, folder: Path, name: str, facts: CardFacts, on_progress: OnProgress | None) -> ProvedFolder:
    proved = write_proved(
        source.model,
        folder,
        base_model=facts.base_model,
        scores_of=source.scores_of,
        with_rows=source.with_rows,
        on_progress=on_progress,
    )
    card = folder / CARD_FILE
    text = card.read_text("utf-8") if card.is_file() else export_card_text(proved.agreement, proved.signature)
    card.write_text(hub_card(text, name, facts, proved.signature, proved.scores), encoding="utf-8")
    return proved


def _files(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
