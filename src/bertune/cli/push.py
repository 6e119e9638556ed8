"""`bertune push`: what the card needs, the proof, the upload."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bertune.cli.export_stages import ExportStages
from bertune.cli.options import OutputOptions, refuse_flags
from bertune.cli.terminal import keep_quiet, say, show, show_json
from bertune.errors import ConfigError

if TYPE_CHECKING:
    from bertune.api.card_facts import CardFacts
    from bertune.api.hub_push import Pushed

_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class CardOptions:
    """What the model card says that no file of the run knows; on a terminal it is asked for.

    Args:
        license: license of the model, by its identifier on the hub, such as apache-2.0.
        language: language of the texts, by its code, such as en; may be given several times.
        dataset: data it was fine-tuned on, by their name on the hub; none where they are not there. May be given
            several times, and left out where --data was hf://datasets/….
        base_model: what was fine-tuned, by its name on the hub; none where it is not there. May be left out where
            --model was such a name.
        scores_of: of an export: the run it was made of, whose scores the card gets.
    """

    license: str = ""
    language: tuple[str, ...] = ()
    dataset: tuple[str, ...] = ()
    base_model: str = ""
    scores_of: Path | None = None


@dataclass(frozen=True, kw_only=True)
class UploadOptions:
    """Where it is uploaded to.

    Args:
        public: let everybody see it; without it a repository that is made is private, and a public one is refused.
        revision: branch to upload to, which is made where there is none; by default the main one.
        create_pr: open a pull request instead of changing the main branch.
        with_rows: of an export: upload the texts among the rows of its proof, too, which can be read from their token
            ids; without it they are taken out, and an export in int8, which is proved by validation rows, is refused.
        dry_run: a new folder to write what would be uploaded to; nothing is sent.
    """

    public: bool = False
    revision: str | None = None
    create_pr: bool = False
    with_rows: bool = False
    dry_run: Path | None = None


def push(
    run: Path,
    name: str,
    card: Annotated[CardOptions, Parameter(name="*")] = CardOptions(),
    *,
    options: Annotated[UploadOptions, Parameter(name="*")] = UploadOptions(),
    output: Annotated[OutputOptions, Parameter(name="*")] = OutputOptions(),  # noqa: B008 (frozen)
) -> None:
    """Upload a fine-tuned model to the Hugging Face hub, with a model card.

    Only what was proved is uploaded: a run or model is exported to transformers and has to equal its export; the files
    of an export have to be those of its proof. No text of the data is uploaded.

    The account is that of `hf auth login`, or of the variable HF_TOKEN. An upload that broke off is continued by the
    same command: what has arrived is not sent again.

    Args:
        run: a run or model folder, or that of an export.
        name: of the repository, such as me/reviews, which is made where there is none.
        card: what the model card says.
        options: where to.
        output: what is printed.
    """
    from bertune.api.card_facts import CardFacts
    from bertune.api.hub_push import Source, completed, write_unsent
    from bertune.api.hub_push import push as upload
    from bertune.api.hub_upload import HubTarget, require_account

    if options.dry_run is not None:
        sent = {"public": options.public, "revision": options.revision is not None, "create_pr": options.create_pr}
        refuse_flags("nothing is sent with --dry-run", sent)
    target = HubTarget(name, options.public, options.revision, options.create_pr)
    given = CardFacts(license=card.license, languages=card.language, datasets=card.dataset, base_model=card.base_model)
    if options.dry_run is None:
        require_account(None)
    source = Source(run, card.scores_of, options.with_rows)
    facts = _asked_for(completed(given, source))
    tell = keep_quiet if output.quiet else say
    with ExportStages(tell, enabled=not output.quiet) as stages:
        if options.dry_run is not None:
            pushed = write_unsent(source, options.dry_run, name, facts, on_progress=stages.show)
        else:
            shows_bars = not output.quiet and sys.stderr.isatty()
            pushed = upload(source, target, facts, show_progress=shows_bars, on_progress=stages.show)
    if not pushed.proved.scores:
        tell("no scores in the card: no run is known that has them")
    _print(pushed, name, options.dry_run, as_json=output.json)


def _asked_for(facts: "CardFacts") -> "CardFacts":
    """Asks for missing facts where somebody sits at the terminal.

    Raises:
        ConfigError: facts are missing, and nobody is there or gives them.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        facts.require_all()
        return facts
    for flag, hint in facts.missing.items():
        facts = _asked_for_one(facts, flag, hint)
    return facts


def _asked_for_one(facts: "CardFacts", flag: str, hint: str) -> "CardFacts":
    for _ in range(_TRIES):
        sys.stderr.write(f"{flag} ({hint}): ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            break
        try:
            known = facts.with_answer(flag, line)
        except ConfigError as error:
            say(f"{error.message}; {error.hint}")
            continue
        if flag not in known.missing:
            return known
    raise ConfigError(f"the model card needs --{flag}", hint=hint)


def _print(pushed: "Pushed", name: str, folder: Path | None, *, as_json: bool) -> None:
    agreement, uploaded = pushed.proved.agreement, pushed.uploaded
    if as_json:
        show_json(
            {
                "name": name,
                "folder": None if folder is None else str(folder),
                "commit": None if uploaded is None else uploaded.commit,
                "pull_request": None if uploaded is None else uploaded.pull_request,
                "files": list(pushed.files),
                "format": agreement["format"],
                "rows": agreement["rows"],
                "max_difference": agreement["max_difference"],
            }
        )
        return
    proof = f"{agreement['format']}, equal to the model on {agreement['rows']:,} rows"
    where = f"{folder}: not sent" if uploaded is None else uploaded.pull_request or uploaded.commit
    show([f"{name}: {proof}, {len(pushed.files)} files", where])
