"""Series that are to be forgotten: nothing of them is left, neither in answers nor in the files."""

from __future__ import annotations

from pathlib import Path

from tests.support.samples import Row, batch, open_store, rows

from tocsin.model.duration import DAY_MS, HOUR_MS
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp, parse_selector
from tocsin.model.retention import Policy
from tocsin.runtime.clock import FixedClock
from tocsin.store.samples.native import Shape
from tocsin.store.samples.schema import OLD_PARTS_S
from tocsin.store.samples.store import SampleStore

NOW = 20_790 * DAY_MS + 12 * HOUR_MS
ALL = (Matcher("__name__", MatchOp.REGEX, ".*"),)
ANNA = Labels.metric("logins", {"user": "anna-maria-7f3a", "host": "a"})
ANNA_B = Labels.metric("errors", {"user": "anna-maria-7f3a"})
BERT = Labels.metric("logins", {"user": "bert-0c55", "host": "a"})
SELECTOR = (parse_selector('{user="anna-maria-7f3a"}'),)
_N = Shape({"n": "UInt64"})


async def put(store: SampleStore, *given: Row) -> None:
    await store.append(batch(store, given))


async def filled(store: SampleStore, days: int = 3) -> None:
    for day in range(days):
        await put(store, *((labels, NOW - day * DAY_MS, float(day)) for labels in (ANNA, ANNA_B, BERT)))
        await store.flush()
    while await store.roll_up():
        pass


def holds(folder: Path, word: str) -> list[str]:
    """The files under the folder that hold the word, compressed blocks apart."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


def plain(store: SampleStore) -> None:
    """From now on parts of the table of labels are written without compression, so that a word can be found in them."""
    store._parts.writing.run("alter table series modify column labels String codec(NONE)")


def count(store: SampleStore, table: str, labels: Labels) -> int:
    sql = f"select count() as n from {table} where id = {labels.series_id()}"
    return int(store._parts.writing.read(sql, _N)["n"][0])


async def test_nothing_of_the_series_is_left_and_the_others_are_untouched(tmp_path: Path) -> None:
    async with open_store(tmp_path / "samples", FixedClock(NOW)) as store:
        await filled(store)
        before = await store.steps(ALL, NOW - 5 * DAY_MS, NOW, HOUR_MS)
        lost = await store.fitting(SELECTOR)
        assert (lost.samples, lost.series) == (6, 2)
        assert await store.erase(SELECTOR) == 2
        for table in ("samples", "rollup_5m", "rollup_1h", "series", "series_days"):
            assert [count(store, table, labels) for labels in (ANNA, ANNA_B)] == [0, 0]
        assert {labels for labels, _, _ in rows(await store.select(ALL, 0, NOW + 1))} == {BERT}
        after = await store.steps(ALL, NOW - 5 * DAY_MS, NOW, HOUR_MS)
        at = before.series.index(BERT)
        assert after.avg[0].tobytes() == before.avg[at].tobytes()
        assert await store.erase(SELECTOR) == 0


async def test_its_labels_are_in_no_file_any_more(tmp_path: Path) -> None:
    async with open_store(tmp_path / "samples", FixedClock(NOW)) as store:
        plain(store)
        await put(store, (ANNA, NOW, 1.0), (BERT, NOW, 1.0))
        assert holds(tmp_path, "anna-maria-7f3a")  # it is in the journal
        await store.flush()
        assert any("/store/" in path for path in holds(tmp_path, "anna-maria-7f3a"))
        await store.erase(SELECTOR)
        assert holds(tmp_path, "anna-maria-7f3a") == []
        assert holds(tmp_path, "bert-0c55")
        told = store._parts.writing.read(
            "select engine_full as n from system.tables where database = currentDatabase() and name = 'series'",
            Shape({"n": "String"}),
        )
        assert f"old_parts_lifetime = {OLD_PARTS_S}" in told["n"][0]
    assert holds(tmp_path, "anna-maria-7f3a") == []


async def test_parts_that_were_replaced_are_off_the_disk(tmp_path: Path) -> None:
    async with open_store(tmp_path / "samples", FixedClock(NOW)) as store:
        await filled(store)
        before = files(tmp_path)
        await store.erase(SELECTOR)
        sql = "select count() as n from system.parts where not active and table in ('samples', 'series', 'rollup_1h')"
        assert int(store._parts.writing.read(sql, _N)["n"][0]) == 0
        assert not before <= files(tmp_path)


def files(folder: Path) -> set[int]:
    """The inodes of the engine's data files."""
    return {path.stat().st_ino for path in folder.rglob("data.bin")}


async def test_it_stays_forgotten_after_a_restart_and_starts_anew_when_it_is_sent_again(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    async with open_store(tmp_path / "samples", clock) as store:
        await filled(store)
        await store.erase(SELECTOR)
    async with open_store(tmp_path / "samples", clock) as store:
        assert await store.series(ALL) == (BERT,)
        await put(store, (ANNA, NOW, 9.0))
        assert [row for row in rows(await store.select(ALL, 0, NOW + 1)) if row[0] == ANNA] == [(ANNA, NOW, 9.0)]
    async with open_store(tmp_path / "samples", clock) as store:
        assert set(await store.series(ALL)) == {ANNA, BERT}


async def test_what_is_sent_while_it_is_deleted_keeps_its_labels(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    async with open_store(tmp_path / "samples", clock) as store:
        await filled(store)
        begin = store._begin_erasing

        def sent_just_before(ids: object) -> None:
            store._index.intern(ANNA)
            begin(ids)  # type: ignore[arg-type]

        store._begin_erasing = sent_just_before  # type: ignore[method-assign]
        await store.erase(SELECTOR)
        await put(store, (ANNA, NOW + 1, 5.0))
    async with open_store(tmp_path / "samples", clock) as store:
        assert [row for row in rows(await store.select(ALL, 0, NOW + 2)) if row[0] == ANNA] == [(ANNA, NOW + 1, 5.0)]


async def test_policies_and_roll_ups_go_on_afterwards(tmp_path: Path) -> None:
    async with open_store(tmp_path / "samples", FixedClock(NOW)) as store:
        await store.keep((Policy(0, "a", parse_selector('{host="a"}'), DAY_MS),))
        await filled(store)
        await store.erase(SELECTOR)
        await put(store, (ANNA, NOW - HOUR_MS, 9.0))
        while await store.roll_up():
            pass
        await store.clean_up(NOW)
        while (await store.enforce(NOW)).more:
            pass
        assert {labels for labels, _, _ in rows(await store.select(ALL, 0, NOW + 1))} == {ANNA, BERT}
