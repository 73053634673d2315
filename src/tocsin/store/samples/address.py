"""Where a ClickHouse server is: `clickhouse://user:password@host:8123/database?option=value`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from tocsin.model.duration import Duration
from tocsin.model.errors import UserError

SCHEMES = {"clickhouse": False, "clickhouses": True}
PORT, TLS_PORT = 8123, 8443

_TLS_OPTIONS = ("verify", "ca_cert", "client_cert", "client_key")
_HELP = "Write store.url like clickhouse://user:password@host:8123/database."
_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CLUSTER = re.compile(r"[\w.-]+", re.ASCII)
_QUORUM = re.compile(r"[1-9]\d?", re.ASCII)
_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class Address:
    """A server, who we are there, and how to speak to it. The password is never shown."""

    host: str
    port: int
    database: str
    user: str = "default"
    password: str = field(default="", repr=False)
    secure: bool = False
    verify: bool = True
    ca_cert: str = ""
    client_cert: str = ""
    client_key: str = ""
    compress: bool = True
    cluster: str = ""
    quorum: str = ""
    connect_timeout: Duration = field(default=Duration(5_000))
    write_timeout: Duration = field(default=Duration(60_000))

    def __str__(self) -> str:
        """As sentences and logs name it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.database}"


def parse_address(text: str) -> Address:
    """Raises UserError whose sentence shows nothing of the password."""
    try:
        parts = urlsplit(text.strip())
        port, host = parts.port, parts.hostname
    except ValueError:
        raise UserError(f"store.url cannot be read. {_HELP}", field="url") from None
    if "@" in parts.path + parts.query + parts.fragment:
        raise UserError(
            "store.url: write the signs @ / ? # % in a user or password as %40 %2F %3F %23 %25.", field="url"
        )
    secure = SCHEMES.get(parts.scheme)
    if secure is None:
        raise UserError(f"store.url begins with no scheme that is known here. {_HELP}", field="url")
    if not host:
        raise UserError(f"store.url names no host. {_HELP}", field="url")
    options = _options(parts.query)
    if "quorum" in options and "cluster" not in options:
        raise UserError("store.url: quorum needs a cluster.", field="url")
    secure = bool(options.setdefault("secure", secure)) or secure
    lost = [name for name in _TLS_OPTIONS if name in options]
    if lost and not secure:
        raise UserError(f"store.url: {lost[0]} is for TLS; begin the URL with clickhouses://", field="url")
    return Address(
        host=host,
        port=port or (TLS_PORT if secure else PORT),
        database=_database(parts),
        user=unquote(parts.username or "") or "default",
        password=unquote(parts.password or ""),
        **{**options, "secure": secure},
    )


def _database(parts: SplitResult) -> str:
    name = unquote(parts.path.removeprefix("/"))
    if not name:
        raise UserError(f"store.url names no database. {_HELP}", field="url")
    if not _DATABASE.fullmatch(name):
        raise UserError(
            "The database in store.url must be a plain name: letters, digits and underscores, no digit first.",
            field="url",
        )
    return name


def _options(query: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        read = _OPTIONS.get(name)
        if read is None:
            near = difflib.get_close_matches(name, _OPTIONS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_OPTIONS)}."
            raise UserError(f"store.url: there is no option {name}; {hint}", field="url")
        try:
            found[name] = read(text)
        except UserError as error:
            raise UserError(f"store.url: {name}: {error}", field="url") from error
    return found


def _flag(text: str) -> bool:
    value = _FLAGS.get(text.lower())
    if value is None:
        raise UserError("write 1 or 0.")
    return value


def _cluster(text: str) -> str:
    if not _CLUSTER.fullmatch(text):
        raise UserError("write the name of a cluster as the servers know it: letters, digits, and the signs _ . -")
    return text


def _quorum(text: str) -> str:
    """A number of replicas, or all but the smaller half."""
    if text != "auto" and not _QUORUM.fullmatch(text):
        raise UserError("write auto, or the number of replicas that must have an insert.")
    return text


def _path(text: str) -> str:
    if not text:
        raise UserError("name a file.")
    return text


_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "secure": _flag,
    "verify": _flag,
    "ca_cert": _path,
    "client_cert": _path,
    "client_key": _path,
    "compress": _flag,
    "cluster": _cluster,
    "quorum": _quorum,
    "connect_timeout": Duration.parse,
    "write_timeout": Duration.parse,
}
