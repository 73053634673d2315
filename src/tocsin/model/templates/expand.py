"""Templates of labels and annotations: what a rule's alert puts in their place.

A template may ask queries, and which ones may depend on the answers to others. So expanding is pure and tells what
is wanted; the caller asks and expands again, with all answers so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from tocsin.model.templates.builtins import BUILTINS
from tocsin.model.templates.errors import TemplateError
from tocsin.model.templates.evaluate import SHORT_CIRCUIT, evaluate
from tocsin.model.templates.parse import parse
from tocsin.model.templates.prometheus import NAMES, WantedError, prometheus_functions
from tocsin.model.templates.tree import Template
from tocsin.model.templates.values import Record, TemplateSample

QUERIES_MAX = 50
"""Of one template."""

Answers: TypeAlias = Mapping[str, tuple[TemplateSample, ...] | str]
"""What queries gave, by their text; a text in the place of samples is why one failed."""

_PREFIX = (
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"
)
_FUNCTIONS = frozenset((*BUILTINS, *SHORT_CIRCUIT, *NAMES))


@dataclass(frozen=True, slots=True)
class AlertData:
    """What a template is told: the labels and value of the series that the rule's expression gave."""

    labels: Mapping[str, str]
    value: float
    external_labels: Mapping[str, str] = field(default_factory=dict)
    external_url: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """To go on, the answer to this query is needed."""

    query: str


@lru_cache(maxsize=2_000)
def parse_template(text: str) -> Template:
    """Raises TemplateError; its offset is that in the text. What was parsed is kept: parsing takes most of the time."""
    try:
        return parse(_PREFIX + text, _FUNCTIONS)
    except TemplateError as error:
        raise TemplateError(str(error), max(0, error.offset - len(_PREFIX))) from error


def expand(name: str, text: str, data: AlertData, at_ms: int, answers: Answers) -> str | Wanted:
    """The text with everything filled in, or a query that has to be answered for that.

    What cannot be filled in becomes a text that says why, as Prometheus writes it: an alert is never lost by its
    template. `name` is the alert's.
    """
    if "{{" not in text:
        return text
    full = f"__alert_{name}"
    try:
        template = parse_template(text)
    except TemplateError as error:
        line = text.count("\n", 0, error.offset) + 1
        return _failed(f"error parsing template {full}: template: {full}:{line}: {error}")
    given = Record(
        {
            "Labels": data.labels,
            "ExternalLabels": data.external_labels,
            "ExternalURL": data.external_url,
            "Value": data.value,
        }
    )
    functions = {**BUILTINS, **prometheus_functions(at_ms, data.external_url, answers)}
    try:
        return evaluate(template, full, given, functions)
    except WantedError as wanted:
        if len(answers) >= QUERIES_MAX:
            return _failed(f"the template asks more than {QUERIES_MAX} queries")
        return Wanted(wanted.query)
    except TemplateError as error:
        return _failed(f"error executing template {full}: {error}")


def _failed(why: str) -> str:
    return f"<error expanding template: {why}>"
