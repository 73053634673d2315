"""Secrets in the JSON of a job: taken out before it is shown, and put back when it returns. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from tocsin.ingest.scrape.job import MASK
from tocsin.model.errors import UserError

_SECRETS = (("basic_auth", "password"), ("authorization", "credentials"), ("tls_config", "key"))

Place = tuple[str, Any, Any]
"""A path for people, the list or dict that holds a secret, and where in it."""


def masked(written: Mapping[str, Any]) -> dict[str, Any]:
    """The same with MASK in the place of every secret."""
    shown = deepcopy(dict(written))
    for _, holder, key in _places(shown):
        if holder[key]:
            holder[key] = MASK
    return shown


def unmasked(sent: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """`sent` with the kept secret in every place that says MASK. Raises UserError where none is kept there."""
    known = {path: holder[key] for path, holder, key in _places(kept)}
    full = deepcopy(dict(sent))
    for path, holder, key in _places(full):
        if holder[key] == MASK:
            if not known.get(path):
                raise UserError(f"{path}: There is no secret that could be kept; send the secret itself.", field=path)
            holder[key] = known[path]
    return full


def _places(job: Mapping[str, Any]) -> Iterator[Place]:
    """Where secrets may stand: in the job and in each of its `http_sd_configs`, which are told apart by URL."""
    yield from _of_http(job, "")
    services = job.get("http_sd_configs")
    for service in services if isinstance(services, list) else ():
        if isinstance(service, dict):
            yield from _of_http(service, f"http_sd_configs[{service.get('url', '')}].")


def _of_http(part: Mapping[str, Any], path: str) -> Iterator[Place]:
    for section, key in _SECRETS:
        inner = part.get(section)
        if isinstance(inner, dict) and _is_scalar(inner.get(key)):
            yield f"{path}{section}.{key}", inner, key
    if _is_scalar(part.get("bearer_token")):
        yield f"{path}bearer_token", part, "bearer_token"
    if part.get("proxy_url") == MASK or "@" in str(part.get("proxy_url")):  # it holds a password
        yield f"{path}proxy_url", part, "proxy_url"
    headers = part.get("http_headers")
    for name, inner in headers.items() if isinstance(headers, dict) else ():
        secrets = inner.get("secrets") if isinstance(inner, dict) else None
        for at, value in enumerate(secrets if isinstance(secrets, list) else ()):
            if _is_scalar(value):
                yield f"{path}http_headers.{name}.secrets[{at}]", secrets, at


def _is_scalar(value: Any) -> bool:
    """A password may be written as a number."""
    return value is not None and not isinstance(value, dict | list)
