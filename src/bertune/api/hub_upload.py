"""A model folder on the Hugging Face hub."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bertune.errors import ConfigError, ResourceError

_LOGIN = "run `hf auth login` with a token that may write, or give token=…"
_MESSAGE = "Upload a model fine-tuned by bertune"


def upload(write: Callable[[Path], Path], name: str, *, private: bool, token: str | None) -> str:
    """Uploads a folder into a model repository, in one commit.

    Args:
        write: writes the folder to the path that it is given.
        name: of the repository; it is made where there is none.
        private: of a repository that is made.
        token: of the account; None takes the one that is kept.

    Returns:
        The address of the commit.

    Raises:
        ConfigError: the hub refuses the name or the account.
        ResourceError: the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    hub = HfApi(token=token)
    with tempfile.TemporaryDirectory() as parent, _refusals_named(name):
        folder = write(Path(parent) / "model")
        repository = hub.create_repo(name, private=private, exist_ok=True, repo_type="model")
        commit = hub.upload_folder(
            repo_id=repository.repo_id, folder_path=folder, repo_type="model", commit_message=_MESSAGE
        )
    return str(commit.commit_url)


@contextmanager
def _refusals_named(name: str) -> Iterator[None]:
    """Says what the hub refuses, and what to do."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    # The client of the hub's library, whose name depends on its version, is the base of its errors.
    unreachable: tuple[type, ...] = (OSError, *HfHubHTTPError.__bases__)
    try:
        yield
    except HFValidationError as error:
        raise ConfigError(f"{name!r} is no name of a repository: {error}", hint="such as me/questions") from error
    except LocalTokenNotFoundError as error:
        raise ConfigError("nobody is logged in to the hub", hint=_LOGIN) from error
    except HfHubHTTPError as error:
        problem = (str(error).strip().splitlines() or [""])[0]
        if error.response.status_code in (401, 403):
            raise ConfigError(
                f"the hub lets nobody write to {name} without the right to: {problem}", hint=_LOGIN
            ) from error
        raise ResourceError(f"{name}: the hub refused the upload: {problem}", hint="try again later") from error
    except Exception as error:
        if not isinstance(error, unreachable):
            raise
        raise ResourceError(f"{name}: the hub cannot be reached: {error}", hint="try again later") from error
