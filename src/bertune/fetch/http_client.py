"""An HTTP client for firewalled machines: proxies, certificates and logins come from the environment.

Proxies: `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`. A firewall's certificate: `SSL_CERT_FILE`. Logins: `.netrc` in the home
folder, or the file that `NETRC` names.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bertune.errors import CheckpointError
from bertune.fetch.model_address import is_loopback, reach_of, without_query

if TYPE_CHECKING:
    import httpx

COPY_HINT = "copy the folder by hand and give its path; behind a firewall set HTTPS_PROXY"
_CERTIFICATE_HINT = "set SSL_CERT_FILE to the certificate of your firewall, or copy the folder by hand"
_CONNECT_SECONDS = 15.0
_SILENCE_SECONDS = 30.0
_MAX_REDIRECTS = 10


def make_client() -> "httpx.Client":
    """Makes a client; it does not follow redirects by itself, see `opened`.

    Raises:
        CheckpointError: a proxy, a certificate or a login in the environment cannot be used.
    """
    # Slow to import, and needed for addresses only.
    import httpx

    netrc = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        return httpx.Client(
            # Packed on its way, a file would come without its length and its checksums would not be those of the bytes.
            headers={"User-Agent": "bertune", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS),
            auth=httpx.NetRCAuth(str(netrc)) if netrc.is_file() else None,
            # No proxy leads to this machine.
            mounts={f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")},
        )
    # The client raises errors of its own, of ssl, of netrc and of the system.
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CheckpointError(
            f"no connection can be made with the settings of the environment ({reason})",
            hint="see HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and .netrc",
        ) from error


@contextmanager
def opened(client: "httpx.Client", url: str, headers: dict[str, str]) -> Iterator["httpx.Response"]:
    """Asks for a file and gives the answer, whose body is not read yet.

    Redirects are followed, but never from https to http, and never from outside into this machine, its link or its
    private network, by whatever name or address: there are services that answer whoever reaches them.

    Raises:
        CheckpointError: redirects go round, or lead where they must not.
        httpx.HTTPError: the network's trouble.
    """
    request = client.build_request("GET", url, headers=headers)
    first = request.url.host
    from_loopback = is_loopback(first)
    for _ in range(_MAX_REDIRECTS + 1):
        response = client.send(request, stream=True)
        # The body of a redirect is not wanted, however long it is.
        following = response.next_request
        if following is None:
            try:
                yield response
            finally:
                response.close()
            return
        response.close()
        request = following
        _refuse_inner_host(url, request.url, first)
        if request.url.scheme != "https" and not (from_loopback and is_loopback(request.url.host)):
            raise CheckpointError(
                f"{without_query(url)}: the server leads on to {without_query(str(request.url))}, which is not https",
                hint=COPY_HINT,
            )
    raise CheckpointError(f"{without_query(url)}: more than {_MAX_REDIRECTS} redirects", hint=COPY_HINT)


def _refuse_inner_host(url: str, target: "httpx.URL", first: str) -> None:
    """Refuses a redirect to a host that is not reached from everywhere, unless the first host was one of its kind."""
    if target.host == first:
        return
    reach = reach_of(target.host)
    if reach != "public" and reach != reach_of(first):
        raise CheckpointError(
            f"{without_query(url)}: the server leads on to {without_query(str(target))}, a {reach} address, which "
            "nobody outside may choose",
            hint="name that address itself if you trust it; else " + COPY_HINT,
        )


def is_final(error: "httpx.HTTPError") -> bool:
    """Tells whether trying again cannot help."""
    import httpx

    return isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError)


def unreachable(url: str, reason: str) -> CheckpointError:
    """The error for a file that could not be fetched, in one line with what to do."""
    hint = _CERTIFICATE_HINT if "CERTIFICATE_VERIFY_FAILED" in reason else COPY_HINT
    return CheckpointError(f"{without_query(url)}: cannot be fetched: {reason}", hint=hint)


def reason_of(error: Exception) -> str:
    """Returns the message of a client error, in one line."""
    return re.sub(r"^\[Errno -?\d+\] ", "", " ".join(str(error).split())) or type(error).__name__
