"""Parse the address of a served model, `http(s)://HOST[:PORT][/v1]#MODEL`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from evalharness.errors import ModelError

VERSION = "/v1"
WRITE = "write http://HOST:PORT/v1#MODEL"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedLocation:
    """The address of a model behind a server. `url`: the API's, usually ending in /v1, without a slash at its end.
    `model`: the model's name on the server.
    """

    url: str
    model: str

    @property
    def text(self) -> str:
        """Return the address as it is written."""
        return f"{self.url}#{self.model}"


def parse_served(location: str) -> ServedLocation:
    """Split an address; one without a path gets /v1. Raises ModelError for an address without a host or a model, and
    for one with a password or a query, because keys come from the environment alone.
    """
    address, _, model = location.partition("#")
    try:
        parts = urlsplit(address)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ModelError(_without_secrets(address), f"is no address ({error})", WRITE) from None
    if parts.scheme not in ("http", "https") or not has_host or any(sign.isspace() for sign in address):
        raise ModelError(_without_secrets(address), "is no address of a server", WRITE)
    if parts.username is not None or parts.password is not None or parts.query or ";" in address:
        what = "holds a user, a password, a query or parameters (;), which would stand in results"
        fix = "put the key into the environment variable EVALHARNESS_API_KEY"
        raise ModelError(_without_secrets(address), what, fix)
    url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or VERSION}"
    if not model.strip():
        raise ModelError(url, "names no model of this server", f"write {url}#MODEL; {url}/models lists its models")
    return ServedLocation(url=url, model=model.strip())


def root_of(url: str) -> str:
    """Return the address above the API, below which servers have their own paths (/tokenize)."""
    return url.removesuffix(VERSION)


def _without_secrets(address: str) -> str:
    """Remove possible secrets from an address."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.replace(';', '?').partition('?')[0].rpartition('@')[2]}"
