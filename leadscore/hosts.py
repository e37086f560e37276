"""Which hosts and origins are our own. Pages of other sites can point their host name here, and send requests here.

The HTTP server and the guard of Dagster's webserver both use these rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\s:/@\[\]]+)(:[0-9]*)?")
_END_OF_AUTHORITY = re.compile(r"[/?#]")


def host_name(authority: str) -> str | None:
    """Return the name in `name` or `name:port`, in lower case; None when the text is malformed."""
    found = _HOST.fullmatch(authority.lower())
    return found["name"] if found else None


def own_names(allowed_hosts: Iterable[str], *urls: str | None) -> frozenset[str]:
    """Return the names that the header Host may have: loopback's, `allowed_hosts`, and those of the URLs."""
    linked = (host_name(_split(url)[1]) for url in urls if url)
    return LOOPBACK_NAMES.union((name.lower() for name in allowed_hosts), (name for name in linked if name))


def origin_of(url: str) -> str:
    """Return a URL's scheme, host and port, as the header Origin has them."""
    return "://".join(_split(url))


def is_own_origin(origin: str, host: str, public_origin: str | None) -> bool:
    """Return whether `origin` is that of the request's `host`, encrypted or not, or `public_origin`."""
    origin, host = origin.lower(), host.lower()
    return origin == public_origin or (bool(host) and origin in {f"http://{host}", f"https://{host}"})


def _split(url: str) -> tuple[str, str]:
    """Return a URL's scheme and its host and port, in lower case."""
    scheme, _, rest = url.lower().partition("://")
    return scheme, _END_OF_AUTHORITY.split(rest, maxsplit=1)[0]
