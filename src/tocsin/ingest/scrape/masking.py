"""Secrets in the JSON of a job: taken out before it is shown, and put back when it returns. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, NoReturn

from tocsin.ingest.scrape.destination import destinations, service_paths
from tocsin.ingest.scrape.job import MASK, ScrapeJob
from tocsin.model.document import from_plain
from tocsin.model.errors import UserError

_SECRETS = (("basic_auth", "password"), ("authorization", "credentials"), ("tls_config", "key"))

Place = tuple[str, str, Any, Any]
"""The path of the part (as `destinations` has it) and of the secret in it, what holds the secret, and where in it."""


def masked(written: Mapping[str, Any]) -> dict[str, Any]:
    """The same with MASK in the place of every secret."""
    shown = deepcopy(dict(written))
    for _, _, holder, key in _places(shown):
        if holder[key]:
            holder[key] = MASK
    return shown


def unmasked(sent: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """`sent` with the kept secret in every place that says MASK. Raises UserError where none is kept there."""
    from_plain(sent)  # not too deep to be copied
    known = {part + path: holder[key] for part, path, holder, key in _places(kept)}
    full = deepcopy(dict(sent))
    for part, path, holder, key in _places(full):
        if holder[key] == MASK:
            if not known.get(part + path):
                _refuse(part + path, "There is no secret that could be kept; send the secret itself.")
            holder[key] = known[part + path]
    return full


def check_destinations(sent: Mapping[str, Any], before: ScrapeJob | None, after: ScrapeJob) -> None:
    """Who may change a job may not see its secrets, and so may not have them sent elsewhere either.

    `after` is `sent` unmasked; `before` is None where nobody knows any more where its requests went.
    Raises UserError for the first secret of `sent` that says MASK and would go where it did not go before.
    """
    known = {} if before is None else destinations(before)
    now = destinations(after)
    for part, path, holder, key in _places(sent):
        if holder[key] == MASK and not (part in known and known[part].covers(now[part])):
            _refuse(part + path, "Where its requests go has changed, so send this secret again.")


def _refuse(path: str, why: str) -> NoReturn:
    raise UserError(f"{path}: {why}", field=path)


def _places(job: Mapping[str, Any]) -> Iterator[Place]:
    """Where secrets may stand: in the job and in each of its `http_sd_configs`."""
    yield from _of_http(job, "")
    listed = job.get("http_sd_configs")
    services = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    for part, service in zip(service_paths(str(one.get("url", "")) for one in services), services, strict=True):
        yield from _of_http(service, part)


def _of_http(written: Mapping[str, Any], part: str) -> Iterator[Place]:
    for section, key in _SECRETS:
        inner = written.get(section)
        if isinstance(inner, dict) and _is_scalar(inner.get(key)):
            yield part, f"{section}.{key}", inner, key
    if _is_scalar(written.get("bearer_token")):
        yield part, "bearer_token", written, "bearer_token"
    if written.get("proxy_url") == MASK or "@" in str(written.get("proxy_url")):  # it holds a password
        yield part, "proxy_url", written, "proxy_url"
    headers = written.get("http_headers")
    for name, inner in headers.items() if isinstance(headers, dict) else ():
        secrets = inner.get("secrets") if isinstance(inner, dict) else None
        for at, value in enumerate(secrets if isinstance(secrets, list) else ()):
            if _is_scalar(value):
                yield part, f"http_headers.{name}.secrets[{at}]", secrets, at


def _is_scalar(value: Any) -> bool:
    """A password may be written as a number."""
    return value is not None and not isinstance(value, dict | list)
