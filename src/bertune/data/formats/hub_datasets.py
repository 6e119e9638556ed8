"""Data sets on the Hugging Face hub: their Parquet files, through `huggingface_hub` and its cache."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bertune.errors import ConfigError, DataError

SCHEME = "hf://"
_ADDRESS = re.compile(r"hf://datasets/(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.\-]+))?(/(?P<config>[\w.\-]+))?/?")


@dataclass(frozen=True)
class HubSource:
    """A data set on the hub.

    Args:
        repo: owner and name.
        config: the folder of its Parquet files, for data sets that have several.
        revision: a branch, tag or commit; None for the newest.
    """

    repo: str
    config: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        config = f"/{self.config}" if self.config else ""
        return f"{SCHEME}datasets/{self.repo}{revision}{config}"


@dataclass(frozen=True)
class HubFiles:
    """Parquet files of one split on the hub, not yet downloaded.

    Args:
        source: the data set; its revision is a commit where the hub was reached, so all splits are of one state.
        files: their paths in the repository, in order.
        offline: whether the hub was not reached and the files are those of the local cache.
    """

    source: HubSource
    files: tuple[str, ...]
    offline: bool = False

    def __str__(self) -> str:
        return f"{SCHEME}datasets/{self.source.repo}/{self.files[0]}"

    def shown(self, file: str) -> str:
        """Names one of the files in messages."""
        return f"{SCHEME}datasets/{self.source.repo}/{file}"


def parse_address(address: str) -> HubSource:
    """Reads ``hf://datasets/OWNER/NAME[@REVISION][/CONFIG]``.

    Raises:
        ConfigError: the address has another form.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ConfigError(
            f"'{address}' is no data set address",
            hint="expected hf://datasets/OWNER/NAME, with /CONFIG behind if needed",
        )
    return HubSource(match["repo"], match["config"], match["revision"])


def list_parquet_files(source: HubSource) -> tuple[HubSource, list[str], bool]:
    """Lists the Parquet files of a data set's configuration.

    Without a network the files in the local cache are listed.

    Args:
        source: the data set; its configuration may be left open where there is only one.

    Returns:
        The source with its commit, the paths, and whether they come from the cache without asking the hub.

    Raises:
        ConfigError: no such data set or configuration, or several to choose from.
        DataError: the hub cannot be reached and the cache has nothing.
    """
    import huggingface_hub
    from huggingface_hub import errors

    try:
        info = huggingface_hub.HfApi().dataset_info(source.repo, revision=source.revision)
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise ConfigError(
            f"{source}: the hub has no such data set or revision, or it is private",
            hint="check the name; for private data log in with: hf auth login",
        ) from error
    except Exception as error:
        if not _is_unreachable(error):
            raise
        return source, _in_config(source, _cached_files(source, error)), True
    pinned = HubSource(source.repo, source.config, info.sha)
    names = [sibling.rfilename for sibling in info.siblings or []]
    return pinned, _in_config(source, names), False


def download(files: HubFiles) -> list[Path]:
    """Downloads files into the hub's cache, or takes them from there.

    Raises:
        DataError: the hub cannot be reached and the cache does not have them.
    """
    import huggingface_hub

    with _reached(files.source):
        return [
            Path(
                huggingface_hub.hf_hub_download(
                    files.source.repo,
                    file,
                    repo_type="dataset",
                    revision=files.source.revision,
                    local_files_only=files.offline,
                )
            )
            for file in files.files
        ]


def _in_config(source: HubSource, names: Sequence[str]) -> list[str]:
    parquet = [name for name in names if name.endswith(".parquet")]
    folders = sorted({str(PurePosixPath(name).parent) for name in parquet})
    if not folders:
        raise DataError(f"{source}: the data set has no Parquet files", hint="download it and give its files instead")
    config = source.config
    if config is None:
        if len(folders) > 1:
            raise ConfigError(
                f"{source}: the data set has several configurations: {', '.join(folders[:30])}",
                hint=f"choose one: {source}/{folders[0]}",
            )
        config = folders[0]
    chosen = [name for name in parquet if str(PurePosixPath(name).parent) == config]
    if not chosen:
        raise ConfigError(f"{source}: no configuration '{config}'; there are {', '.join(folders[:30])}")
    return sorted(chosen)


def _cached_files(source: HubSource, reason: Exception) -> list[str]:
    import huggingface_hub

    try:
        folder = Path(
            huggingface_hub.snapshot_download(
                source.repo, repo_type="dataset", revision=source.revision, local_files_only=True
            )
        )
    except Exception as error:
        raise _unreachable(source, reason) from error
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")]
    if not files:
        raise _unreachable(source, reason)
    return files


@contextmanager
def _reached(source: HubSource) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not _is_unreachable(error):
            raise
        raise _unreachable(source, error) from error


def _is_unreachable(error: Exception) -> bool:
    """Tells the errors of a missing network, a refusing hub and a missing cache entry from errors of ours."""
    from huggingface_hub import errors

    hub_errors = (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError)
    # The errors of its HTTP library, which is another one since version 2.
    http_error = errors.HfHubHTTPError.__bases__[0]
    return isinstance(error, (*hub_errors, http_error, ConnectionError, TimeoutError))


def _unreachable(source: HubSource, reason: Exception) -> DataError:
    first_line = (str(reason).strip().splitlines() or [type(reason).__name__])[0]
    return DataError(
        f"{source} cannot be fetched and is not in the local cache: {first_line}",
        hint="without a network, give a folder with the data set's files instead",
    )
