"""The functions that Prometheus adds to Go's.

Source: Prometheus docs, configuration/template_reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote_plus, urlsplit

import re2

from tocsin.model.errors import UserError
from tocsin.model.matcher import REGEX_CHARS_MAX
from tocsin.model.templates.errors import CallError
from tocsin.model.templates.functions import Function, Takes
from tocsin.model.templates.humanize import (
    humanize,
    humanize1024,
    humanize_duration,
    humanize_percentage,
    humanize_timestamp,
    parse_duration,
    to_time,
)
from tocsin.model.templates.limits import OUTPUT_MAX
from tocsin.model.templates.values import TemplateSample, TemplateValue

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 1 << 20
_REFERENCE = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))", re.ASCII)
_WORD_START = re.compile(r"(?<![\w'])[^\W\d_]")


def _pattern(text: str) -> Any:
    if len(text) > REGEX_CHARS_MAX:
        raise CallError(f"the regular expression is longer than {REGEX_CHARS_MAX} characters")
    try:
        return re2.compile(text, _OPTIONS)
    except (re2.error, UnicodeEncodeError) as error:
        said = error.args[0] if error.args else ""
        why = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise CallError(f"error parsing regexp: {why}") from error


def _replaced(pattern: str, replacement: str, text: str) -> str:
    """As Go's ReplaceAllString: `$1`, `${1}` and `${name}` are groups, `$$` a dollar."""
    out: list[str] = []
    at = size = 0
    for found in _pattern(pattern).finditer(text):
        part = text[at : found.start()] + _REFERENCE.sub(lambda each: _group(each, found), replacement)  # noqa: B023
        size += len(part)
        if size > OUTPUT_MAX:
            raise CallError(f"the text grows longer than {OUTPUT_MAX} characters")
        out.append(part)
        at = found.end()
    return "".join((*out, text[at:]))


def _group(reference: re.Match[str], found: Any) -> str:
    if reference[1]:
        return "$"
    name = reference[2] or reference[3]
    try:
        return str(found[int(name) if name.isdigit() else name] or "")
    except (IndexError, KeyError):
        return ""


def _first(vector: tuple[TemplateValue, ...]) -> TemplateValue:
    if not vector:
        raise CallError("first() called on vector with no elements")
    return vector[0]


def _by_label(label: str, vector: tuple[TemplateSample, ...]) -> tuple[TemplateValue, ...]:
    return tuple(sorted(vector, key=lambda sample: sample.labels.get(label, "")))


def _split(host_port: str) -> tuple[str, str] | None:
    """Host and port, or None where there is no port (Go's net.SplitHostPort)."""
    if host_port.startswith("["):
        host, bracket, port = host_port[1:].partition("]")
        return (host, port[1:]) if bracket and port.startswith(":") and ":" not in port[1:] else None
    host, colon, port = host_port.rpartition(":")
    return None if not colon or ":" in host else (host, port)


def _without_port(host_port: str) -> str:
    split = _split(host_port)
    return split[0] if split else host_port


def _without_domain(host_port: str) -> str:
    host, port = _split(host_port) or (host_port, "")
    try:
        ip_address(host)
    except ValueError:
        short = host.split(".")[0]
        return f"{short}:{port}" if port else short
    return host_port


def _link(expression: str, tab: int) -> str:
    return f"/graph?g0.expr={quote_plus(expression.encode('utf-8', 'replace'))}&g0.tab={tab}"


def _title(text: str) -> str:
    return _WORD_START.sub(lambda found: found[0].title(), text)


_TEXT = (Takes.TEXT,)
_ANY = (Takes.ANY,)

_EVERYWHERE: Mapping[str, Function] = {
    "first": Function(_first, (Takes.VECTOR,)),
    "label": Function(lambda name, sample: sample.labels.get(name, ""), (Takes.TEXT, Takes.SAMPLE)),
    "value": Function(lambda sample: sample.value, (Takes.SAMPLE,)),
    "strvalue": Function(lambda sample: sample.labels.get("__value__", ""), (Takes.SAMPLE,)),
    "sortByLabel": Function(_by_label, (Takes.TEXT, Takes.VECTOR)),
    "args": Function(lambda *values: {f"arg{at}": each for at, each in enumerate(values)}, (), Takes.ANY),
    "humanize": Function(humanize, _ANY),
    "humanize1024": Function(humanize1024, _ANY),
    "humanizeDuration": Function(humanize_duration, _ANY),
    "humanizePercentage": Function(humanize_percentage, _ANY),
    "humanizeTimestamp": Function(humanize_timestamp, _ANY),
    "toTime": Function(to_time, _ANY),
    "parseDuration": Function(parse_duration, _TEXT),
    "title": Function(_title, _TEXT),
    "toUpper": Function(str.upper, _TEXT),
    "toLower": Function(str.lower, _TEXT),
    "match": Function(lambda pattern, text: _pattern(pattern).search(text) is not None, (Takes.TEXT, Takes.TEXT)),
    "reReplaceAll": Function(_replaced, (Takes.TEXT, Takes.TEXT, Takes.TEXT)),
    "stripPort": Function(_without_port, _TEXT),
    "stripDomain": Function(_without_domain, _TEXT),
    "graphLink": Function(lambda expression: _link(expression, 0), _TEXT),
    "tableLink": Function(lambda expression: _link(expression, 1), _TEXT),
    "safeHtml": Function(str, _TEXT),
    "urlQueryEscape": Function(lambda text: quote_plus(text.encode("utf-8", "replace"), safe=""), _TEXT),
}
_OF_THE_SERVER = ("now", "externalURL", "pathPrefix", "query")
NAMES = frozenset((*_EVERYWHERE, *_OF_THE_SERVER))


class WantedError(UserError):
    """A template asks a query that has no answer yet."""

    def __init__(self, query: str) -> None:
        super().__init__(f"The query {query!r:.200} has not been answered.")
        self.query = query


def prometheus_functions(
    at_ms: int, external_url: str, answers: Mapping[str, tuple[TemplateSample, ...] | str]
) -> Mapping[str, Function]:
    """`answers` to queries by their text, or why one failed. `query` raises WantedError for others."""

    def query(text: str) -> TemplateValue:
        answer = answers.get(text)
        if answer is None:
            raise WantedError(text)
        if isinstance(answer, str):
            raise CallError(answer)
        return answer

    return {
        **_EVERYWHERE,
        "now": Function(lambda: at_ms / 1000),
        "externalURL": Function(lambda: external_url),
        "pathPrefix": Function(lambda: urlsplit(external_url).path),
        "query": Function(query, _TEXT),
    }
