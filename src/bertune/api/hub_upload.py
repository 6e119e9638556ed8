"""A folder on its way to the Hugging Face hub."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bertune.errors import BertuneError, ConfigError, ResourceError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_LOGIN: Final = "run `hf auth login` with a token that may write, or set HF_TOKEN"
_CARD_HINT: Final = "give another --license, --language, --dataset or --base-model"
_AGAIN: Final = "try again: what has arrived is not sent a second time"
_MESSAGE: Final = "Upload a model fine-tuned by bertune"
# In answers with the status of a missing right.
_OF_QUOTA: Final = ("storage limit", "quota", "billing", "payment")


@dataclass(frozen=True)
class HubTarget:
    """Where on the hub.

    Args:
        name: of the repository, which is made where there is none.
        public: whether everybody may see it; False neither makes such a repository nor writes into one.
        revision: branch, which is made where there is none; None is the main one.
        as_pull_request: opens a pull request instead of changing the branch.

    Raises:
        ConfigError: a name that the hub refuses, or both a revision and a pull request.
    """

    name: str
    public: bool = False
    revision: str | None = None
    as_pull_request: bool = False

    def __post_init__(self) -> None:
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id

        try:
            validate_repo_id(self.name)
        except HFValidationError as error:
            raise ConfigError(
                f"{self.name!r} is no name of a repository: {error}", hint="such as me/questions"
            ) from error
        if self.revision is not None and self.as_pull_request:
            raise ConfigError(
                "a pull request goes to the main branch, so it takes no revision", hint="name one of them"
            )


@dataclass(frozen=True)
class Uploaded:
    """What the hub has made of it.

    Args:
        commit: address.
        pull_request: address; None where none was asked for.
    """

    commit: str
    pull_request: str | None = None


def require_account(token: str | None) -> None:
    """Refuses to begin what cannot end: the hub is switched off, or nobody is logged in.

    Args:
        token: of the account; None takes the one that is kept.

    Raises:
        ConfigError: says which.
    """
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise ConfigError("HF_HUB_OFFLINE is set, so that nothing can be uploaded", hint="unset HF_HUB_OFFLINE")
    # In a workflow that the hub trusts its library fetches a token by itself.
    if token is None and get_token() is None and not os.environ.get("HF_OIDC_RESOURCE"):
        raise ConfigError("nobody is logged in to the hub", hint=_LOGIN)


def upload(folder: Path, target: HubTarget, *, token: str | None, show_progress: bool) -> Uploaded:
    """Uploads a folder into a model repository, in one commit; the hub checks its card before anything is sent.

    An upload that broke off is continued by the next one of the same files: what has arrived is not sent again.

    Args:
        folder: with the card README.md.
        target: where to.
        token: of the account; None takes the one that is kept.
        show_progress: draws bars.

    Raises:
        ConfigError: the hub refuses the name, the card or the account, or the repository is public.
        ResourceError: the hub cannot be reached, or takes no more.
    """
    from huggingface_hub import HfApi, ModelCard
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    hub = HfApi(token=token)
    hides_bars = not show_progress and not are_progress_bars_disabled()
    if hides_bars:
        disable_progress_bars()
    try:
        with _refusals_named(target):
            _check_card(ModelCard((folder / "README.md").read_text(encoding="utf-8")))
            name = hub.create_repo(target.name, private=not target.public, exist_ok=True, repo_type="model").repo_id
            _refuse_public(hub, name, target)
            if target.revision is not None:
                hub.create_branch(name, branch=target.revision, exist_ok=True)
            commit = hub.upload_folder(
                repo_id=name,
                folder_path=folder,
                repo_type="model",
                commit_message=_MESSAGE,
                revision=target.revision,
                create_pr=target.as_pull_request,
            )
    finally:
        if hides_bars:
            enable_progress_bars()
    return Uploaded(str(commit.commit_url), commit.pr_url)


def _check_card(card: Any) -> None:
    """Has the hub check the metadata.

    Raises:
        ConfigError: it refuses them.
    """
    try:
        card.validate()
    except ValueError as error:
        raise ConfigError(f"the hub refuses the model card: {_found_wrong(str(error))}", hint=_CARD_HINT) from error


def _found_wrong(answer: str) -> str:
    """Gives what the hub finds wrong with a card: it answers with JSON, or with a text."""
    try:
        return "; ".join(_one_line(each["message"]) for each in json.loads(answer)["errors"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return _one_line(answer)


def _refuse_public(hub: "HfApi", name: str, target: HubTarget) -> None:
    """Refuses to publish what was not said to be public.

    Raises:
        ConfigError: everybody may see the repository.
    """
    if not target.public and hub.repo_info(name, repo_type="model").private is False:
        raise ConfigError(
            f"{name} is there and public", hint="name another repository, or say so: --public (from Python public=True)"
        )


@contextmanager
def _refusals_named(target: HubTarget) -> Iterator[None]:
    """Says what the hub refuses, and what to do."""
    try:
        yield
    except BertuneError:
        raise
    except Exception as error:
        raise _refusal(error, target) from error


def _refusal(error: Exception, target: HubTarget) -> BertuneError:
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    name = target.name
    # The hub's library wraps what ended the upload of a file.
    chain = [error]
    while isinstance(cause := chain[-1].__cause__, Exception):
        chain.append(cause)
    for each in chain:
        if isinstance(each, LocalTokenNotFoundError):
            return ConfigError("nobody is logged in to the hub", hint=_LOGIN)
        if isinstance(each, OfflineModeIsEnabled):
            return ConfigError("HF_HUB_OFFLINE is set, so that nothing can be uploaded", hint="unset HF_HUB_OFFLINE")
        if isinstance(each, HfHubHTTPError):
            status, reason = each.response.status_code, each.response.reason_phrase
            # Without a message of the server the error's own text has the address, which may hold a right to write.
            return _of_status(status, _one_line(each.server_message or f"{status} {reason}"), target)
    problem = _one_line(chain[-1])
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        # What the store of large files answers comes as a text.
        return ResourceError(f"{name}: the hub refused the upload: {problem}", hint=_AGAIN)
    return ResourceError(f"{name}: the upload to the hub broke off: {problem}", hint=_AGAIN)


def _of_status(status: int, problem: str, target: HubTarget) -> BertuneError:
    name = target.name
    if status == 402 or (status == 403 and any(word in problem.lower() for word in _OF_QUOTA)):
        return ResourceError(f"{name}: the hub takes no more: {problem}", hint="free space there, or ask for more")
    if status in (401, 403):
        return ConfigError(f"the hub lets nobody write to {name} without the right to: {problem}", hint=_LOGIN)
    if status == 404:
        place = name if target.revision is None else f"{name} with the branch {target.revision}"
        return ConfigError(f"the hub has no {place} that this account may write to: {problem}", hint=_LOGIN)
    if status in (400, 409, 422):
        return ConfigError(f"the hub refuses {name}: {problem}", hint="name another repository, or see what is there")
    if status in (413, 507):
        return ResourceError(
            f"{name}: a file is too large for the hub: {problem}", hint="see the limits of the account"
        )
    return ResourceError(f"{name}: the hub refused the upload: {problem}", hint=f"later {_AGAIN}")


def _one_line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__
