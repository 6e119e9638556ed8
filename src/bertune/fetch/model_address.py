"""Addresses of model folders and archives: `gs://bucket/path` and `https://host/path`."""

import hashlib
import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlsplit

from bertune.errors import CheckpointError

_SCHEME = re.compile(r"(gs|https?)://", re.IGNORECASE)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_GOOGLE = "https://storage.googleapis.com"
# The field's name for another host that speaks as Google's storage does, such as an emulator.
_EMULATOR = "STORAGE_EMULATOR_HOST"
_ARCHIVES = (".zip", ".tar.gz", ".tgz")
_HUB_HOST = "tfhub.dev"
_HUB_ARCHIVE = "tf-hub-format=compressed"
# The prefix of a TensorFlow checkpoint, which is no file itself, or one of its files.
_CHECKPOINT = re.compile(r"(?P<prefix>.+\.ckpt(-\d+)?)(\.index|\.meta|\.data-\d{5}-of-\d{5})?")
_MAX_CHARACTERS = 2000
Reach = Literal["loopback", "link-local", "private", "public"]
_INNERMOST_FIRST: tuple[Reach, ...] = ("loopback", "link-local", "private", "public")


@dataclass(frozen=True)
class ModelAddress:
    """Location of a model's files.

    Args:
        shown: what messages call it: what the user wrote, without a query, which may hold a signature.
        url: of the folder or the archive, over https, without a slash at its end.
        query: what stands behind the question mark; every file is asked for with it.
        checkpoint: the name of a TensorFlow checkpoint's prefix in the folder, where one was named.
        is_archive: whether the address is that of one packed file.
    """

    shown: str
    url: str
    query: str = ""
    checkpoint: str | None = None
    is_archive: bool = False

    def file_url(self, name: str = "") -> str:
        """Returns the address of a file in the folder, or of the archive itself."""
        path = f"{self.url}/{quote(name)}" if name else self.url
        return f"{path}?{self.query}" if self.query else path

    @property
    def entry_name(self) -> str:
        """The name of its folder in the cache: what a person reads, and a hash that tells equal names apart."""
        digest = hashlib.sha256(f"{self.file_url()} {self.checkpoint or ''}".encode()).hexdigest()
        parts = urlsplit(self.url)
        words = re.sub(r"[^\w.-]+", "_", f"{parts.hostname}-{parts.path.rpartition('/')[2]}", flags=re.ASCII)
        return f"{words[:80]}-{digest[:16]}"


def is_address(text: str) -> bool:
    """Tells whether a model's name is an address rather than a folder or a name of the hub."""
    return _SCHEME.match(text) is not None


def without_query(text: str) -> str:
    """Returns an address without what stands behind the question mark, which may be a signature; other names as is."""
    return text.partition("?")[0] if is_address(text) else text


def is_loopback(host: str) -> bool:
    """Tells whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reach_of(host: str) -> Reach:
    """Tells from where a host can be reached: this machine alone, its link, a private network, or everywhere.

    A name is looked up; the innermost of its addresses counts. One that cannot be looked up here, as behind a proxy, is
    taken for one of the outside.
    """
    try:
        found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None)}
        addresses = [ipaddress.ip_address(text) for text in found]
    except (OSError, ValueError, UnicodeError):
        return "loopback" if is_loopback(host) else "public"
    reaches = {_reach_of_address(address) for address in addresses}
    return next((reach for reach in _INNERMOST_FIRST if reach in reaches), "public")


def _reach_of_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Reach:
    address = getattr(address, "ipv4_mapped", None) or address
    # 0.0.0.0 leads to this machine too.
    if address.is_loopback or address.is_unspecified:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    return "public" if address.is_global and not address.is_multicast else "private"


def parse_address(text: str) -> ModelAddress:
    """Reads the address of a model: a folder, a checkpoint's prefix in it, or a .zip or .tar.gz archive.

    `http://` is refused except to this machine: what comes over it can be changed on its way, and so can the checksums
    beside it.

    Raises:
        CheckpointError: it is no such address.
    """
    is_bucket = text[:5].lower() == "gs://"
    if len(text) > _MAX_CHARACTERS or not text.isprintable() or "\\" in text or (" " in text and not is_bucket):
        raise CheckpointError(
            f"{text!r:.200}: not an address: too long, or with a space, a backslash or a control character in it",
            hint="write %20 for a space",
        )
    url, query = (_public_address(text), "") if is_bucket else _without_query(text)
    _check(url, text)
    shown = text.rstrip("/") if is_bucket else url
    folder, _, last = url.rpartition("/")
    match = _CHECKPOINT.fullmatch(last)
    if match is not None:
        return ModelAddress(shown, folder, query, checkpoint=match["prefix"])
    is_archive = last.lower().endswith(_ARCHIVES) or _HUB_ARCHIVE in query.split("&")
    if urlsplit(url).hostname == _HUB_HOST and not is_archive:
        # The page of a hub module is for people; this is how its own library asks for the files.
        query, is_archive = "&".join(filter(None, [query, _HUB_ARCHIVE])), True
    return ModelAddress(shown, url, query, is_archive=is_archive)


def _public_address(text: str) -> str:
    """Turns `gs://bucket/path` into the https address under which everybody can read it."""
    bucket, _, path = text[5:].partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise CheckpointError(
            f"{text!r:.200}: {bucket!r} is not the name of a bucket", hint="expected gs://bucket/path"
        )
    host = os.environ.get(_EMULATOR, "").rstrip("/") or _GOOGLE
    if not _SCHEME.match(host):
        host = f"http://{host}"
    return f"{host}/{bucket}/{quote(path)}".rstrip("/")


def _without_query(text: str) -> tuple[str, str]:
    address, _, _ = text.partition("#")
    address, _, query = address.partition("?")
    scheme, _, rest = address.partition("://")
    return f"{scheme.lower()}://{rest.rstrip('/')}", query


def _check(url: str, text: str) -> None:
    shown = re.sub(r"//[^/@]*@", "//…@", text.partition("?")[0])
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise CheckpointError(f"{shown!r:.200}: not an address ({error})", hint="expected https://host/path") from error
    if not host or {".", ".."} & set(parts.path.split("/")):
        raise CheckpointError(
            f"{shown!r:.200}: not an address: no host, or a . or .. in it", hint="expected https://host/path"
        )
    if parts.username is not None:
        raise CheckpointError(
            f"{shown!r:.200}: the address holds a login, which would be written into run.toml",
            hint="put the login into the file .netrc in your home folder",
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise CheckpointError(
            f"{shown!r:.200}: what comes over http:// can be changed on its way",
            hint="use https://, or copy the folder by hand and give its path",
        )
