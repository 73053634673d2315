"""Labels and annotations of a rule's alerts, with their templates filled in: queries that they ask are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tocsin.model.errors import TocsinError
from tocsin.model.labels import METRIC_NAME, Labels
from tocsin.model.rule_group import AlertingRule, Pairs
from tocsin.model.templates.expand import AlertData, Wanted, expand
from tocsin.model.templates.values import TemplateSample
from tocsin.promql.values import Text, Vector
from tocsin.rules.alerting import ALERT_NAME, FoundAlert
from tocsin.rules.answers import Query, Row, rows

AT_ONCE = 100
"""Alerts whose templates are filled in before others have a turn: about 5 ms."""


@dataclass(frozen=True, slots=True)
class Site:
    """What templates may know of the server: labels that it puts on what it sends, and where people find it."""

    external_labels: Mapping[str, str] = field(default_factory=dict)
    external_url: str = ""


async def found_alerts(
    rule: AlertingRule, labels: Pairs, given: Sequence[Row], at_ms: int, site: Site, query: Query
) -> list[FoundAlert]:
    """`labels` are the group's and the rule's; `given` what the expression gave. Never fails by a template."""
    expanding = _Expanding(rule.alert, at_ms, site, query)
    made: list[FoundAlert] = []
    for of, value in given:
        made.append(await expanding.alert(rule, labels, of, value))
        if len(made) % AT_ONCE == 0:
            await asyncio.sleep(0)
    return made


class _Expanding:
    """One evaluation of one rule: a query that several alerts ask is asked once."""

    def __init__(self, alert: str, at_ms: int, site: Site, query: Query) -> None:
        self._alert = alert
        self._at_ms = at_ms
        self._site = site
        self._query = query
        self._answers: dict[str, tuple[TemplateSample, ...] | str] = {}

    async def alert(self, rule: AlertingRule, labels: Pairs, of: Labels, value: float) -> FoundAlert:
        data = AlertData(of.as_dict(), value, self._site.external_labels, self._site.external_url)
        filled = {name: await self._text(text, data) for name, text in labels}
        annotations = tuple([(name, await self._text(text, data)) for name, text in rule.annotations])
        named = {**of.without(METRIC_NAME).as_dict(), **filled, ALERT_NAME: rule.alert}
        return FoundAlert(Labels.of(named), value, annotations)

    async def _text(self, text: str, data: AlertData) -> str:
        known: dict[str, tuple[TemplateSample, ...] | str] = {}
        while isinstance(made := expand(self._alert, text, data, self._at_ms, known), Wanted):
            if made.query not in self._answers:
                self._answers[made.query] = await self._asked(made.query)
            known[made.query] = self._answers[made.query]
        return made

    async def _asked(self, query: str) -> tuple[TemplateSample, ...] | str:
        try:
            value = await self._query(query, self._at_ms)
            if isinstance(value, Text):
                return (TemplateSample({"__value__": value.value}, 0.0),)
            found = rows(value)
            if not (isinstance(value, Vector) and value.sorted):  # the same text each time, whatever the store's order
                found.sort(key=lambda row: row[0].pairs)
            return tuple(TemplateSample(labels.as_dict(), number) for labels, number in found)
        except TocsinError as error:
            return str(error)
