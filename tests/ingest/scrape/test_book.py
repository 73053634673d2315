from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.ingest.scrape.world import Scene, node
from tests.support.state import open_kind

from tocsin.ingest.scrape.book import ScrapeBook
from tocsin.ingest.scrape.config import parse_config
from tocsin.ingest.scrape.discovery.loop import Discoverer, sources
from tocsin.ingest.scrape.door import Door
from tocsin.model.audit import Actor
from tocsin.model.errors import ConflictError, NotFoundError, UserError
from tocsin.model.page import PageRequest
from tocsin.runtime.dns import Resolver
from tocsin.runtime.offload import InlineOffload
from tocsin.store.state.state import State

ANNA = Actor("anna")
SECRET = {"basic_auth": {"username": "u", "password": "hunter2"}}
FILE = parse_config(
    "scrape_configs: [{job_name: filed, static_configs: [{targets: ['f:1']}], bearer_token: hunter3}]", Path("/")
).jobs


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    async with open_kind("sqlite memory", tmp_path) as opened:
        yield opened


@pytest.fixture
async def scene() -> Scene:
    return Scene()


def book_of(scene: Scene, state: State) -> ScrapeBook:
    inline = InlineOffload()
    door = Door(scene.clock, inline)
    discoverer = Discoverer(scene.pool, sources(door, Resolver(), inline), clock=scene.clock, telemetry=scene.telemetry)
    return ScrapeBook(state.scrape_jobs, discoverer, scene.pool, scene.clock)


@pytest.fixture
async def book(scene: Scene, state: State) -> ScrapeBook:
    made = book_of(scene, state)
    await made.load(FILE)
    return made


def urls(scene: Scene) -> list[str]:
    return [one.target.url for one in scene.pool.active()]


async def audit(state: State) -> list[tuple[str, dict[str, Any] | None, dict[str, Any] | None]]:
    rows = (await state.access.audit(PageRequest())).items
    return [(row.entry.action, _plain(row.entry.before), _plain(row.entry.after)) for row in reversed(rows)]


def _plain(side: Any) -> dict[str, Any] | None:
    return None if side is None else dict(side)


async def test_a_job_that_is_added_is_scraped_and_kept(book: ScrapeBook, scene: Scene, state: State) -> None:
    view = await book.add(node(**SECRET), ANNA)
    assert urls(scene) == ["http://f:1/metrics", "http://a:1/metrics"]
    assert view.name == "node"
    assert (await state.scrape_jobs.jobs())[0].config["basic_auth"]["password"] == "hunter2"
    again = book_of(Scene(), state)
    await again.load(())
    assert [one.name for one in again.jobs()] == ["node"]


async def test_no_secret_is_shown_or_audited(book: ScrapeBook, state: State) -> None:
    view = await book.add(node(**SECRET), ANNA)
    await book.change(view.stored.id if view.stored else 0, {"honor_labels": True}, ANNA)
    shown = repr([one.config for one in book.jobs()]) + repr(await audit(state))
    assert "hunter" not in shown
    assert shown.count("<secret>") == 5
    assert "hunter" not in repr(book.jobs())


async def test_a_change_that_sends_the_mask_keeps_the_secret(book: ScrapeBook, state: State) -> None:
    view = await book.add(node(**SECRET), ANNA)
    assert view.stored
    after = await book.change(view.stored.id, {**view.config, "metrics_path": "/x"}, ANNA)
    (kept,) = await state.scrape_jobs.jobs()
    assert kept.config["basic_auth"] == {"username": "u", "password": "hunter2"}
    assert after.config["metrics_path"] == "/x"


RELABELLED = [{"source_labels": ["job"], "target_label": "__address__", "replacement": "b:1"}]
SERVICE = {"url": "http://inventory/", "bearer_token": "hunter3"}


@pytest.mark.parametrize(
    "change",
    [
        {"static_configs": [{"targets": ["evil:1"]}]},
        {"static_configs": [{"targets": ["a:1"], "labels": {"__scheme__": "https"}}]},
        {"http_sd_configs": [{"url": "http://evil/"}]},
        {"dns_sd_configs": [{"names": ["evil"]}]},
        {"scheme": "https"},
        {"relabel_configs": RELABELLED},
        {"proxy_url": "http://evil:1"},
        {"follow_redirects": True},
        {"tls_config": {"insecure_skip_verify": True}},
        {"tls_config": {"server_name": "evil"}},
    ],
)
@pytest.mark.parametrize("sent", [{}, {"basic_auth": {"username": "u", "password": "<secret>"}}])
async def test_a_secret_is_sent_again_where_it_would_go_elsewhere(
    book: ScrapeBook, state: State, change: dict[str, Any], sent: dict[str, Any]
) -> None:
    view = await book.add(node(**SECRET, follow_redirects=False), ANNA)
    assert view.stored
    before = await state.scrape_jobs.jobs()
    with pytest.raises(UserError, match="so send this secret again") as caught:
        await book.change(view.stored.id, {**change, **sent}, ANNA)
    assert caught.value.field == "basic_auth.password"
    assert await state.scrape_jobs.jobs() == before
    await book.change(view.stored.id, {**change, **SECRET}, ANNA)
    (kept,) = await state.scrape_jobs.jobs()
    assert kept.config["basic_auth"] == SECRET["basic_auth"]


@pytest.mark.parametrize(
    "change",
    [
        {"metrics_path": "/x"},
        {"params": {"a": ["b"]}},
        {"job_name": "other"},
        {"follow_redirects": False},
        {"tls_config": {"insecure_skip_verify": False}},
        {"static_configs": [{"targets": ["a:1"], "labels": {"rack": "7"}}]},
        {"metric_relabel_configs": RELABELLED},
    ],
)
async def test_what_sends_a_secret_nowhere_else_keeps_it(
    book: ScrapeBook, state: State, change: dict[str, Any]
) -> None:
    view = await book.add(node(**SECRET, tls_config={"insecure_skip_verify": True}), ANNA)
    assert view.stored
    await book.change(view.stored.id, change, ANNA)
    (kept,) = await state.scrape_jobs.jobs()
    assert kept.config["basic_auth"] == SECRET["basic_auth"]


async def test_where_labels_can_become_addresses_they_count_too(book: ScrapeBook) -> None:
    view = await book.add(node(**SECRET, relabel_configs=RELABELLED), ANNA)
    assert view.stored
    for change in (
        {"job_name": "evil"},
        {"params": {"a": ["evil:1"]}},
        {"static_configs": [{"targets": ["a:1"], "labels": {"rack": "evil"}}]},
    ):
        with pytest.raises(UserError, match="so send this secret again"):
            await book.change(view.stored.id, change, ANNA)


async def test_the_secret_of_a_list_of_targets_goes_nowhere_else_either(book: ScrapeBook, state: State) -> None:
    view = await book.add(node(http_sd_configs=[SERVICE, {**SERVICE, "bearer_token": "hunter4"}]), ANNA)
    assert view.stored
    first, second = view.config["http_sd_configs"]
    with pytest.raises(UserError, match="so send this secret again") as caught:
        await book.change(view.stored.id, {"http_sd_configs": [first, {**second, "proxy_url": "http://evil:1"}]}, ANNA)
    assert caught.value.field == "http_sd_configs[http://inventory/][2].bearer_token"
    await book.change(view.stored.id, {"static_configs": [{"targets": ["b:1"]}]}, ANNA, enabled=False)
    (kept,) = await state.scrape_jobs.jobs()
    assert [one["bearer_token"] for one in kept.config["http_sd_configs"]] == ["hunter3", "hunter4"]


async def test_a_proxy_with_a_password_stays_through_other_changes(book: ScrapeBook, state: State) -> None:
    view = await book.add(node(proxy_url="http://u:hunter2@proxy:1"), ANNA)
    assert view.stored
    await book.change(view.stored.id, {**view.config, "metrics_path": "/x"}, ANNA)
    (kept,) = await state.scrape_jobs.jobs()
    assert kept.config["proxy_url"] == "http://u:hunter2@proxy:1"


async def test_a_key_that_is_null_is_taken_out(book: ScrapeBook) -> None:
    view = await book.add(node(**SECRET), ANNA)
    assert view.stored
    assert "basic_auth" not in (await book.change(view.stored.id, {"basic_auth": None}, ANNA)).config


async def test_a_paused_job_is_not_scraped_until_it_goes_on(book: ScrapeBook, scene: Scene) -> None:
    view = await book.add(node(), ANNA)
    assert view.stored
    paused = await book.change(view.stored.id, {}, ANNA, enabled=False)
    assert (paused.enabled, urls(scene)) == (False, ["http://f:1/metrics"])
    await book.change(view.stored.id, {}, ANNA, enabled=True)
    assert urls(scene) == ["http://f:1/metrics", "http://a:1/metrics"]


async def test_a_deleted_job_is_scraped_no_longer(book: ScrapeBook, scene: Scene, state: State) -> None:
    view = await book.add(node(), ANNA)
    assert view.stored
    await book.delete(view.stored.id, ANNA)
    assert urls(scene) == ["http://f:1/metrics"]
    assert [action for action, _, _ in await audit(state)] == ["scrape_job.add", "scrape_job.delete"]
    with pytest.raises(NotFoundError):
        await book.delete(view.stored.id, ANNA)


async def test_names_are_taken_once_in_file_and_store_together(book: ScrapeBook) -> None:
    await book.add(node(), ANNA)
    with pytest.raises(ConflictError, match="a scrape job node already"):
        await book.add(node(), ANNA)
    with pytest.raises(ConflictError, match="The configuration file has a scrape job filed already"):
        await book.add({**node(), "job_name": "filed"}, ANNA)


async def test_where_the_file_takes_a_name_later_it_wins_and_the_other_says_so(book: ScrapeBook, scene: Scene) -> None:
    await book.add({**node("mine:1"), "job_name": "later"}, ANNA)
    later = parse_config("scrape_configs: [{job_name: later, static_configs: [{targets: ['f:1']}]}]", Path("/")).jobs
    await book.load(later)
    assert urls(scene) == ["http://f:1/metrics"]
    of_file, mine = book.jobs()
    assert (of_file.stored, of_file.errors) == (None, ())
    assert mine.stored is not None
    assert "a job of this name, which is scraped instead" in mine.errors[0]
    assert not (await book.change(mine.stored.id, {}, ANNA, enabled=False)).enabled
    await book.change(mine.stored.id, {"job_name": "other"}, ANNA, enabled=True)
    assert urls(scene) == ["http://f:1/metrics", "http://mine:1/metrics"]


async def test_a_mistake_changes_nothing(book: ScrapeBook, scene: Scene, state: State) -> None:
    view = await book.add(node(), ANNA)
    assert view.stored
    with pytest.raises(UserError, match=r"did you mean scrape_interval\?"):
        await book.change(view.stored.id, {"scrape_intervall": "1s"}, ANNA)
    with pytest.raises(ConflictError, match="changed meanwhile"):
        await book.change(view.stored.id, {}, ANNA, version=7)
    assert book.job(view.stored.id).stored == view.stored
    assert len(await audit(state)) == 1


async def test_a_job_counts_its_targets(book: ScrapeBook) -> None:
    drop = [{"source_labels": ["__address__"], "regex": "b:1", "action": "drop"}]
    view = await book.add(node("a:1", "b:1", "c:1", relabel_configs=drop), ANNA)
    assert ({health.value: count for health, count in view.counts.items()}, view.dropped) == ({"unknown": 2}, 1)
