"""Who may have series deleted, what they must know, and what the audit log keeps of it."""

from __future__ import annotations

import pytest
from tests.support.samples import batch

from tocsin.model.audit import Actor, AuditEntry
from tocsin.model.errors import ConflictError, NotFoundError, UserError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, parse_selector
from tocsin.runtime.clock import FixedClock
from tocsin.store.erasure import Erasure
from tocsin.store.memory import MemorySampleStore

NOW = 1_800_000_000_000
ANNA = Labels.metric("logins", {"user": "anna"})
BERT = Labels.metric("logins", {"user": "bert"})
ADA = Actor("ada", "192.0.2.1")


def selectors(*texts: str) -> list[tuple[Matcher, ...]]:
    return [parse_selector(text) for text in texts]


async def desk() -> tuple[Erasure, MemorySampleStore, list[AuditEntry]]:
    store, entries = MemorySampleStore(clock=FixedClock(NOW)), list[AuditEntry]()
    await store.append(batch(store, [(ANNA, NOW - 1, 1.0), (ANNA, NOW, 2.0), (BERT, NOW, 3.0)]))

    async def record(entry: AuditEntry) -> None:
        entries.append(entry)

    return Erasure(store, record, FixedClock(NOW)), store, entries


async def test_series_are_deleted_when_their_number_is_confirmed() -> None:
    erasure, store, _ = await desk()
    lost = await erasure.preview(selectors('{user="anna"}'))
    assert (lost.samples, lost.series) == (2, 1)
    assert await erasure.delete(selectors('{user="anna"}'), 1, ADA) == lost
    assert await store.series([]) == (BERT,)
    assert (await store.stats()).samples == 1


async def test_another_number_than_was_told_deletes_nothing() -> None:
    erasure, store, entries = await desk()
    with pytest.raises(ConflictError, match="2 series fit by now, not 1"):
        await erasure.delete(selectors('logins{user=~".+"}'), 1, ADA)
    assert ((await store.stats()).samples, entries) == (3, [])


async def test_several_selectors_are_taken_together_and_count_a_series_once() -> None:
    erasure, _, _ = await desk()
    assert (await erasure.preview(selectors('{user="anna"}', "logins"))).series == 2


async def test_the_audit_log_keeps_who_and_how_much_but_not_the_values() -> None:
    erasure, _, entries = await desk()
    await erasure.delete(selectors('logins{user="anna"}', '{user=~"an.*"}'), 1, ADA)
    assert [(one.action, one.actor, one.target) for one in entries] == [
        ("series.delete", ADA, '{__name__="logins", user="•••"} or {user=~"•••"}'),
        ("series.deleted", ADA, '{__name__="logins", user="•••"} or {user=~"•••"}'),
    ]
    assert entries[0].before == {"series": 1, "samples": 2, "buckets": 0}
    assert entries[1].after == {"series": 1}


async def test_what_fits_nothing_is_said() -> None:
    erasure, _, _ = await desk()
    with pytest.raises(NotFoundError):
        await erasure.delete(selectors('{user="carl"}'), 1, ADA)


@pytest.mark.parametrize("text", ["{}", '{user!="anna"}', '{__name__=~".*"}'])
async def test_what_would_fit_everything_is_refused(text: str) -> None:
    erasure, _, _ = await desk()
    with pytest.raises(UserError, match="series"):
        await erasure.preview(selectors(text))


async def test_no_selector_at_all_is_refused() -> None:
    erasure, _, _ = await desk()
    with pytest.raises(UserError, match="1 to 100"):
        await erasure.preview([])
