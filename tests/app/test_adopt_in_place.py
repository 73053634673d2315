"""An older database that becomes tocsin's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from tests.app.test_adopt import NOW_MS, tocsin
from tests.support.older import NOON, NOON_MS, OLDER_KINDS, Older, older
from tests.support.state import a_rule, an_entry

from tocsin.app.adopt import Report
from tocsin.app.adopt_in_place import Comparison, OlderTables, Watch, move
from tocsin.app.config import Settings, StateSettings
from tocsin.app.wiring import open_engine
from tocsin.app.world import World, real_world
from tocsin.ingest.rows import Rows
from tocsin.model.alert import HistoryItem, HistoryQuery
from tocsin.model.errors import UserError
from tocsin.model.labels import Labels
from tocsin.model.page import PageRequest
from tocsin.model.rule import Rule
from tocsin.model.series import SeriesBlock
from tocsin.runtime.clock import FixedClock
from tocsin.store.adopt.source import OldDatabase
from tocsin.store.sealing import key_text
from tocsin.store.settings import StoreSettings
from tocsin.store.state.columns import SEALED
from tocsin.store.state.engine import parse_url

WORLD = replace(real_world(), clock=FixedClock(NOW_MS))


def silent(_what: str, _last: int) -> Callable[[int], None]:
    return lambda _: None


async def moved(made: Older, tmp_path: Path, then: OlderTables = OlderTables.KEEP, world: World = WORLD) -> Report:
    old = OldDatabase(made.url, UTC, page=10)
    try:
        return await move(old, Settings(), world, tmp_path / "data", "UTC", then, silent)
    finally:
        old.close()


async def held(made: Older, tmp_path: Path) -> tuple[list[Rule], list[HistoryItem], dict[str, list[Any]]]:
    """What a server finds that is told of the database."""
    settings = Settings(state=StateSettings(url=made.url))
    async with open_engine(settings, tmp_path / "data", WORLD) as engine:
        block = await engine.samples.select((), 0, NOW_MS)
        samples = {str(labels): list(zip(t.tolist(), v.tolist(), strict=True)) for labels, t, v in block}
        history = (await engine.state.book.history(HistoryQuery(), PageRequest())).items
        return list(await engine.state.rules.rules()), list(history), samples


def tables(made: Older) -> set[str]:
    engine = sa.create_engine(parse_url(made.url))
    names = set(sa.inspect(engine).get_table_names())
    engine.dispose()
    return {name for name in names if name.startswith("older_") or name in ("metric", "invoices", "backup")}


@pytest.mark.parametrize("kind", OLDER_KINDS)
async def test_rules_and_history_keep_their_ids_and_samples_move(kind: str, tmp_path: Path) -> None:
    with older(kind, tmp_path) as made:
        made.fill()
        made.execute("CREATE INDEX ix_alert_history_triggered ON alert_history (triggered_at)")
        made.execute("UPDATE metric_alert SET id = id + 40", "UPDATE alert_history SET alert_id = 42, id = 7")
        report = await moved(made, tmp_path)
        rules, (firing,), samples = await held(made, tmp_path)
        assert (report.rules_added, report.history_added, report.samples_stored, report.verified) == (2, 1, 3, 3)
        assert [(rule.id, rule.name, rule.severity) for rule in rules] == [
            (41, "High CPU Usage", "warning"),
            (42, "Queue", "warning"),
        ]
        assert (firing.id, firing.rule_id, firing.value, firing.acknowledged_by) == (7, 42, 7.5, "anna")
        assert samples == {
            'queue.length{deep="{\\"a\\":[1]}", n="3", queue="mail"}': [(NOON_MS, 1.5), (NOON_MS + 1_250, 2.5)],
            "system.cpu.usage": [(NOON_MS, 40.0)],
        }
        assert tables(made) == {"invoices", "backup", "metric", "older_metric_alert", "older_alert_history"}


@pytest.mark.parametrize("kind", OLDER_KINDS)
async def test_a_second_run_changes_nothing_and_new_rules_get_new_ids(kind: str, tmp_path: Path) -> None:
    with older(kind, tmp_path) as made:
        made.fill()
        await moved(made, tmp_path)
        before = await held(made, tmp_path)
        report = await moved(made, tmp_path)
        assert (report.rules_added, report.verified) == (0, 3)
        assert await held(made, tmp_path) == before
        async with open_engine(Settings(state=StateSettings(url=made.url)), tmp_path / "data", WORLD) as engine:
            (rule,) = await engine.state.rules.add_rules([a_rule(name="New")], [an_entry()])
        assert rule.id == 3


@pytest.mark.parametrize(
    ("kind", "then", "left"),
    [
        ("sqlite", OlderTables.KEEP, {"metric", "older_metric_alert", "older_alert_history"}),
        ("sqlite", OlderTables.RENAME, {"older_metric", "older_metric_alert", "older_alert_history"}),
        ("sqlite", OlderTables.DROP, set()),
        ("postgresql", OlderTables.DROP, set()),
    ],
)
async def test_the_older_tables_are_dealt_with_as_asked(
    kind: str, then: OlderTables, left: set[str], tmp_path: Path
) -> None:
    with older(kind, tmp_path) as made:
        made.fill()
        report = await moved(made, tmp_path, then)
        assert tables(made) == {"invoices", "backup"} | left
        assert {name for name, fate in report.older_tables.items() if fate == "kept"} == left
        again = await moved(made, tmp_path, then)
        assert again.verified == (3 if then is OlderTables.KEEP else None)
        assert len((await held(made, tmp_path))[2]) == 2


async def test_nothing_is_dropped_from_which_a_row_was_left_out(tmp_path: Path) -> None:
    with older("sqlite", tmp_path) as made:
        made.fill()
        made.add("metric", (9, "ancient", 1, None, "1999-01-01"))
        made.add("metric_alert", (9, "Odd", "m", "~", 1, 0, True))
        report = await moved(made, tmp_path, OlderTables.DROP)
        assert (report.samples_skipped, report.rules_skipped) == ({"past retention": 1}, {"unknown condition": 1})
        assert set(report.older_tables.values()) == {"kept"}
        assert tables(made) >= {"metric", "older_metric_alert", "older_alert_history"}
        report = await moved(made, tmp_path, OlderTables.DROP)
        assert set(report.older_tables.values()) == {"kept"}


async def test_a_move_that_broke_off_goes_on_where_it_stopped(tmp_path: Path) -> None:
    class Away(Exception):
        pass

    def breaking(at: tuple[str, int]) -> Watch:
        def watch(what: str, _last: int) -> Callable[[int], None]:
            def seen(row: int) -> None:
                if (what, row) == at:
                    raise Away

            return seen

        return watch

    with older("sqlite", tmp_path) as made:
        made.add("metric", *((at, "m", at, None, NOON_MS - at) for at in range(1, 51)))
        old = OldDatabase(made.url, UTC, page=10)
        for at in (("samples", 20), ("samples", 40), ("checking", 30)):
            with pytest.raises(Away):
                await move(old, Settings(), WORLD, tmp_path / "data", "UTC", OlderTables.DROP, breaking(at))
            assert "metric" in tables(made)
        report = await move(old, Settings(), WORLD, tmp_path / "data", "UTC", OlderTables.DROP, silent)
        old.close()
        assert (report.samples_stored, report.verified) == (50, 50)
        assert tables(made) == {"invoices", "backup"}
        assert len((await held(made, tmp_path))[2]["m"]) == 50


@pytest.mark.parametrize("kind", OLDER_KINDS)
async def test_tables_of_another_program_are_not_touched(kind: str, tmp_path: Path) -> None:
    with older(kind, tmp_path) as made:
        made.fill()
        made.execute("CREATE TABLE users (id INTEGER PRIMARY KEY)", "CREATE TABLE audit (id INTEGER PRIMARY KEY)")
        with pytest.raises(UserError, match="tables of its own named audit, users"):
            await moved(made, tmp_path)
        assert tables(made) == {"metric", "invoices"}


async def test_another_programs_revisions_are_set_aside(tmp_path: Path) -> None:
    with older("sqlite", tmp_path) as made:
        made.fill()
        made.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        made.execute("INSERT INTO alembic_version VALUES ('abc')")
        await moved(made, tmp_path)
        assert "older_alembic_version" in tables(made)
        assert len((await held(made, tmp_path))[0]) == 2


async def test_text_that_is_no_utf8_costs_its_bytes_and_no_more(tmp_path: Path) -> None:
    with older("sqlite", tmp_path) as made:
        made.fill()
        made.execute("UPDATE metric_alert SET name = CAST(X'416cff' AS TEXT) WHERE id = 2")
        await moved(made, tmp_path)
        assert [rule.name for rule in (await held(made, tmp_path))[0]] == ["High CPU Usage", "Al\ufffd"]


async def test_of_rows_of_one_time_the_last_is_looked_for(tmp_path: Path) -> None:
    with older("sqlite", tmp_path) as made:
        made.add("metric", *((at, "m", at, None, NOON) for at in range(1, 26)))
        report = await moved(made, tmp_path)
        assert (report.samples_read, report.verified) == (25, 3)  # once in each page of ten
        assert (await held(made, tmp_path))[2] == {"m": [(NOON_MS, 25.0)]}


@pytest.mark.parametrize("used_before", [True, False])
async def test_with_a_key_what_is_taken_over_is_sealed(used_before: bool, tmp_path: Path) -> None:
    settings = Settings(store=StoreSettings(encryption_key=key_text(bytes(range(32))), fsync=False))
    with older("sqlite", tmp_path) as made:
        made.fill()
        made.execute("UPDATE metric_alert SET id = 77 WHERE id = 1")
        if used_before:
            async with open_engine(settings, tmp_path / "data", WORLD):
                pass
            (tmp_path / "data" / "state.db").unlink()
        old = OldDatabase(made.url, UTC)
        for _ in range(2):
            report = await move(old, settings, WORLD, tmp_path / "data", "UTC", OlderTables.RENAME, silent)
            assert "older_metric" in report.older_tables
        old.close()
        with_state = replace(settings, state=StateSettings(url=made.url))
        async with open_engine(with_state, tmp_path / "data", WORLD) as engine:
            assert [rule.id for rule in await engine.state.rules.rules()] == [2, 77]
        reading = sa.create_engine(made.url)
        with reading.connect() as connection:
            matchers = connection.execute(sa.text("SELECT matchers FROM metric_alert")).scalars().all()
        reading.dispose()
        assert [text.startswith(SEALED) for text in matchers] == [True, True]


def test_what_is_missing_or_differs_is_noticed() -> None:
    one, other = Labels.metric("m", {"n": "1"}), Labels.metric("m", {"n": "2"})
    rows = Rows(
        (one, other),
        np.array([0, 0, 1, 1]),
        np.array([10, 20, 10, 5]),
        np.array([1.0, 2.0, 3.0, 4.0]),
        np.arange(4),
    )
    block = SeriesBlock((one,), np.array([0, 2]), np.array([10, 20]), np.array([1.0, -2.0]))
    compared = Comparison()
    compared.look(rows, block, np.array([10, 10]))
    assert (compared.found, compared.missing, list(compared.differing)) == (2, 1, [(one, 20)])
    later = Rows((one,), np.array([0]), np.array([20]), np.array([-2.0]), np.array([4]))
    compared.look(later, block, np.array([10]))
    assert compared.differing == {}


@pytest.mark.process
def test_the_command_takes_a_database_over_and_says_what_to_set(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with older("sqlite", tmp_path) as made:
        made.fill()
        said = tocsin("adopt", made.url, "--in-place", "--older-tables", "burn", "--data-dir", str(data))
        assert (said.returncode, said.stderr) == (1, "tocsin: --older-tables is keep or rename or drop.\n")
        said = tocsin("adopt", made.url, "--in-place", "--older-tables", "rename", "--data-dir", str(data))
        assert said.returncode == 0, said.stderr
        assert "The older table older_metric was kept." in said.stdout
        assert f"The state is now in {tmp_path / 'older.db'}: set state.url" in said.stdout
        (data / "state.db").write_bytes(b"x")
        said = tocsin("adopt", made.url, "--in-place", "--data-dir", str(data))
        assert (said.returncode, "is the state already" in said.stderr) == (1, True)
