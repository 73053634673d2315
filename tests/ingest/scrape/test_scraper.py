from __future__ import annotations

import asyncio
import gzip
from itertools import pairwise
from typing import Any

import httpx
import pytest
from tests.ingest.scrape.world import START_MS, TEXT, Scene, always, node, response, run

from tocsin.ingest.scrape.scraper import Health, aligned
from tocsin.ingest.settings import ScrapeSettings
from tocsin.model.errors import QueueFullError

UP = 'up{instance="a:1", job="node"}'
X = 'x{instance="a:1", job="node"}'
Y = 'y{instance="a:1", job="node"}'


async def hang(request: httpx.Request) -> httpx.Response:
    await asyncio.sleep(1e6)
    raise AssertionError


def test_a_target_is_scraped_once_an_interval() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = "x 1\ny 2\n"
        await scene.jobs(node())
        async with scene.running():
            await asyncio.sleep(60)
        return scene

    scene = run(play)
    times = scene.site.times("a")
    assert len(times) == 6
    assert {later - before for before, later in pairwise(times)} == {10_000}
    assert scene.values(X) == [1.0] * 6
    assert scene.values(UP) == [1.0] * 6


def test_the_report_says_what_a_scrape_was() -> None:
    async def play() -> Scene:
        scene = Scene()

        async def slow(request: httpx.Request) -> httpx.Response:
            await asyncio.sleep(0.25)
            return response(b"x 1\ny 2\nz 3\n", TEXT)

        scene.site.pages["a"] = slow
        drop = [{"source_labels": ["__name__"], "regex": "z", "action": "drop"}]
        await scene.jobs(node(metric_relabel_configs=drop))
        async with scene.running():
            await asyncio.sleep(20)
        return scene

    scene = run(play)
    labels = '{instance="a:1", job="node"}'
    assert scene.values(f"scrape_duration_seconds{labels}") == [0.25, 0.25]
    assert scene.values(f"scrape_samples_scraped{labels}") == [3.0, 3.0]
    assert scene.values(f"scrape_samples_post_metric_relabeling{labels}") == [2.0, 2.0]
    assert scene.values(f"scrape_series_added{labels}") == [2.0, 0.0]


def test_each_target_has_a_moment_of_its_own_that_outlives_a_restart() -> None:
    async def play() -> list[list[int]]:
        moments = []
        for _ in range(2):
            scene = Scene()
            names = [f"host{number}" for number in range(30)]
            scene.site.pages.update(dict.fromkeys(names, "x 1\n"))
            await scene.jobs(node(*[f"{name}:1" for name in names]))
            async with scene.running():
                await asyncio.sleep(10)
            moments.append([scene.site.times(name)[0] % 10_000 for name in names])
            await asyncio.sleep(3.3)
        return moments

    first, second = run(play)
    assert all(abs(one - other) <= 1 for one, other in zip(first, second, strict=True))
    assert max(first) - min(first) > 5_000
    assert len(set(first)) > 25


def test_samples_are_dated_at_the_planned_moment() -> None:
    assert aligned(1_000_007, 0, 10_000) == 1_000_000
    assert aligned(1_000_011, 0, 10_000) == 1_000_011
    assert aligned(1_000_007, 3, 10_000) == 1_000_003
    assert aligned(1_000_007, 0, 500) == 1_000_007  # 1 % of a short interval


def test_a_series_that_is_gone_from_a_target_ends() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = "x 1\ny 2\n"
        await scene.jobs(node())
        async with scene.running():
            await asyncio.sleep(10)
            scene.site.pages["a"] = "x 1\n"
            await asyncio.sleep(20)
        return scene

    scene = run(play)
    assert scene.values(Y) == [2.0, "stale"]
    assert scene.values(X) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "Cannot connect: Connection refused"),
        (always(status=503), "status is 503"),
        (always(b"<html>", {"Content-Type": "text/html"}), "Content-Type is `text/html`"),
        (always(b"x 1\n"), "The answer has no Content-Type"),
        (always(b"{}{}\nno no no no\n", TEXT), "Nothing in the answer can be read. Line 1"),
        (always(b"x 1\n", {"Content-Type": "application/openmetrics-text"}), "# EOF"),
        (always(b"junk", {**TEXT, "Content-Encoding": "gzip"}), "not gzip"),
        (always(b"junk", {**TEXT, "Content-Encoding": "br"}), "packed with `br`"),
        (hang, "No complete answer within 10s."),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_when_a_scrape_fails_all_of_its_series_end_and_up_is_0(answer: Any, why: str) -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = "x 1\ny 2\n"
        await scene.jobs(node())
        async with scene.running():
            await asyncio.sleep(10)
            if answer is None:
                del scene.site.pages["a"]
            else:
                scene.site.pages["a"] = answer
            await asyncio.sleep(20)
            last = scene.one().last
            assert last.health is Health.DOWN
            assert why in last.error
            scene.site.pages["a"] = "x 3\n"
            await asyncio.sleep(20)
        return scene

    scene = run(play)
    assert scene.values(X) == [1.0, "stale", 3.0, 3.0] or scene.values(X) == [1.0, "stale", 3.0]
    assert scene.values(Y) == [2.0, "stale"]
    assert scene.values(UP)[:2] == [1.0, 0.0]
    assert scene.values(UP)[-1] == 1.0


def test_a_target_that_goes_ends_its_series_and_its_report() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages |= {"a": "x 1\n", "b": "x 1\n"}
        await scene.jobs(node("a:1", "b:1"))
        async with scene.running():
            await asyncio.sleep(10)
            await scene.jobs(node("b:1"))
            await asyncio.sleep(10)
        return scene

    scene = run(play)
    assert scene.values(X) == [1.0, "stale"]
    assert scene.values(UP) == [1.0, "stale"]
    assert scene.values('scrape_series_added{instance="a:1", job="node"}') == [1.0, "stale"]
    assert scene.values('x{instance="b:1", job="node"}') == [1.0, 1.0]


def test_many_targets_that_go_end_together_and_delay_no_other() -> None:
    async def play() -> tuple[Scene, int]:
        scene = Scene()
        names = [f"host{number}" for number in range(50)]
        scene.site.pages |= dict.fromkeys([*names, "a"], "x 1\n")
        await scene.jobs(node("a:1", *[f"{name}:1" for name in names]))
        async with scene.running():
            await asyncio.sleep(10)
            before = len(scene.sink.batches)
            await scene.jobs(node())
            await asyncio.sleep(0.01)
            ended = len(scene.sink.batches) - before
            await asyncio.sleep(20)
        return scene, ended

    scene, ended = run(play)
    assert ended == 1
    assert scene.values('up{instance="host7:1", job="node"}') == [1.0, "stale"]
    assert scene.values(X) == [1.0] * 3


def test_an_end_that_the_store_does_not_take_is_tried_again() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages |= {"a": "x 1\n", "b": "x 1\n"}
        await scene.jobs(node("a:1", "b:1"))
        async with scene.running():
            await asyncio.sleep(10)
            scene.sink.error = QueueFullError("There is no room.")
            await scene.jobs(node("b:1"))
            await asyncio.sleep(5)
            scene.sink.error = None
            await asyncio.sleep(15)
        return scene

    scene = run(play)
    assert scene.values(X) == [1.0, "stale"]
    assert scene.values(UP) == [1.0, "stale"]
    assert len(scene.site.times("b")) >= 2


def test_a_target_that_was_never_reached_has_nothing_to_end_but_its_report() -> None:
    async def play() -> Scene:
        scene = Scene()
        await scene.jobs(node())
        async with scene.running():
            await asyncio.sleep(10)
            await scene.jobs()
            await asyncio.sleep(1)
        return scene

    scene = run(play)
    assert scene.values(UP) == [0.0, "stale"]
    assert scene.samples() == []


def test_a_stop_ends_no_series_as_the_next_start_goes_on() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = "x 1\n"
        await scene.jobs(node())
        async with scene.running():
            await asyncio.sleep(10)
        return scene

    assert run(play).values(X) == [1.0]


def test_a_change_elsewhere_leaves_a_target_its_moment_its_series_and_its_health() -> None:
    async def play() -> tuple[Scene, bool]:
        scene = Scene()
        scene.site.pages |= {"a": "x 1\n", "b": "x 1\n"}
        await scene.jobs(node())
        async with scene.running():
            await asyncio.sleep(14)
            before = scene.one()
            await scene.jobs(node("a:1", "b:1"), {**node("b:2"), "job_name": "other"})
            same = before is scene.pool.active()[0]
            await asyncio.sleep(16)
        return scene, same

    scene, same = run(play)
    assert same
    times = scene.site.times("a")
    assert {later - before for before, later in pairwise(times)} == {10_000}
    assert scene.values(X) == [1.0] * 3
    assert scene.values('scrape_series_added{instance="a:1", job="node"}') == [1.0, 0.0, 0.0]


def test_a_changed_rule_ends_the_series_that_it_drops() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = "x 1\ny 2\n"
        await scene.jobs(node())
        async with scene.running():
            await asyncio.sleep(10)
            drop = [{"source_labels": ["__name__"], "regex": "y", "action": "drop"}]
            await scene.jobs(node(metric_relabel_configs=drop))
            await asyncio.sleep(20)
        return scene

    scene = run(play)
    assert scene.values(X) == [1.0] * 3
    assert scene.values(Y) == [2.0, "stale"]
    assert scene.values('scrape_series_added{instance="a:1", job="node"}') == [2.0, 0.0, 0.0]


def test_a_changed_interval_holds_from_now_on() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = "x 1\n"
        await scene.jobs(node())
        async with scene.running():
            await asyncio.sleep(30)
            await scene.jobs(node(scrape_interval="1s"))
            await asyncio.sleep(10)
        return scene

    scene = run(play)
    assert scene.values(X) == [1.0] * 13


def test_a_hanging_target_delays_no_other() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages |= {f"bad{number}": hang for number in range(20)} | {"a": "x 1\n"}
        await scene.jobs(node("a:1", *[f"bad{number}:1" for number in range(20)]))
        async with scene.running():
            await asyncio.sleep(60)
        return scene

    scene = run(play)
    assert len(scene.site.times("a")) == 6
    assert scene.values(UP) == [1.0] * 6
    assert set(scene.values('up{instance="bad7:1", job="node"}')) == {0.0}


def test_no_more_than_so_many_targets_are_asked_at_once_and_those_left_out_are_counted() -> None:
    async def play() -> tuple[Scene, int]:
        scene = Scene(ScrapeSettings(concurrency=2))
        busy = most = 0

        async def slow(request: httpx.Request) -> httpx.Response:
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(9)
            busy -= 1
            return response(b"x 1\n", TEXT)

        scene.site.pages |= {f"slow{number}": slow for number in range(6)}
        await scene.jobs(node(*[f"slow{number}:1" for number in range(6)]))
        async with scene.running():
            await asyncio.sleep(100)
        return scene, most

    scene, most = run(play)
    assert most == 2
    assert scene.counted("scrapes_missed_total") > 20
    assert len(scene.site.asked) <= 24


def test_a_clock_that_is_set_neither_stops_nor_hurries_the_scrapes() -> None:
    async def play() -> list[int]:
        scene = Scene()
        scene.site.pages["a"] = "x 1\n"
        await scene.jobs(node())
        async with scene.running():
            await asyncio.sleep(30)
            scene.clock._start_ms -= 7_203_000  # two hours and three seconds back
            await asyncio.sleep(60)
        return scene.site.times("a")

    times = run(play)
    assert 8 <= len(times) <= 10
    assert {at % 10_000 for at in times[:3]} == {times[0] % 10_000}
    assert {at % 10_000 for at in times[-3:]} == {times[0] % 10_000}


def test_labels_of_the_target_win_over_those_it_shows() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = 'x{job="mine",instance="i"} 1\n'
        await scene.jobs(node())
        async with scene.running():
            await asyncio.sleep(10)
        return scene

    assert [one for _, one, _ in run(play).samples()] == [
        'x{exported_instance="i", exported_job="mine", instance="a:1", job="node"}'
    ]


def test_honored_labels_win_over_those_of_the_target() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = 'x{job="mine"} 1\n'
        await scene.jobs(node(honor_labels=True))
        async with scene.running():
            await asyncio.sleep(10)
        return scene

    assert [one for _, one, _ in run(play).samples()] == ['x{instance="a:1", job="mine"}']


def test_times_that_a_target_gives_are_taken_and_its_series_do_not_end() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = f"x 1 {START_MS - 5_000}\ny 2\n"
        await scene.jobs(node())
        async with scene.running():
            await asyncio.sleep(10)
            del scene.site.pages["a"]
            await asyncio.sleep(10)
        return scene

    scene = run(play)
    assert scene.samples("x") == [(-5_000, X, 1.0)]
    assert scene.values(Y) == [2.0, "stale"]


def test_times_of_a_target_that_are_not_honored_are_passed_over() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = "x 1 5\n"
        await scene.jobs(node(honor_timestamps=False))
        async with scene.running():
            await asyncio.sleep(10)
            del scene.site.pages["a"]
            await asyncio.sleep(10)
        return scene

    scene = run(play)
    assert scene.values(X) == [1.0, "stale"]
    assert 0 <= scene.samples("x")[0][0] <= 10_000


def test_ends_are_tracked_for_series_with_times_where_the_job_says_so() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = f"x 1 {START_MS - 5_000}\n"
        await scene.jobs(node(track_timestamps_staleness=True))
        async with scene.running():
            await asyncio.sleep(10)
            del scene.site.pages["a"]
            await asyncio.sleep(10)
        return scene

    assert run(play).values(X) == [1.0, "stale"]


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"sample_limit": 1}, "2 samples; sample_limit is 1"),
        ({"label_limit": 3}, "has 4 labels; label_limit is 3"),
        ({"label_name_length_limit": 7}, "longer than label_name_length_limit, 7"),
        ({"label_value_length_limit": 5}, "longer than label_value_length_limit, 5"),
        ({"body_size_limit": "10B"}, "larger than 10 bytes"),
        ({"target_limit": 1}, "2 targets; target_limit is 1"),
    ],
)
def test_a_broken_limit_fails_the_whole_scrape(limit: dict[str, Any], said: str) -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = 'x{a="longer"} 1\ny 2\n'
        await scene.jobs(node("a:1", "b:1", **limit))
        async with scene.running():
            await asyncio.sleep(10)
        return scene

    scene = run(play)
    assert scene.samples() == []
    assert scene.values(UP) == [0.0]
    assert said in scene.pool.active()[0].last.error


def test_a_small_answer_that_unpacks_beyond_the_limit_is_refused() -> None:
    async def play() -> Scene:
        scene = Scene(ScrapeSettings(body_max=10_000))
        packed = gzip.compress(b"# " + b"a" * 1_000_000 + b"\nx 1\n")
        scene.site.pages["a"] = always(packed, {**TEXT, "Content-Encoding": "gzip"})
        await scene.jobs(node())
        async with scene.running():
            await asyncio.sleep(10)
        return scene

    assert "larger than 10000 bytes when it is unpacked" in run(play).one().last.error


def test_a_line_that_is_wrong_is_refused_alone_and_told() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = "x 1\nwhat is this\ny 2\n"
        await scene.jobs(node())
        async with scene.running():
            await asyncio.sleep(10)
        return scene

    scene = run(play)
    assert [one for _, one, _ in scene.samples()] == [X, Y]
    last = scene.one().last
    assert (last.health, last.error, last.samples) == (Health.UP, "", 2)
    assert last.warning.startswith("1 of 3 lines refused. Line 2: ")
    assert scene.counted("samples_rejected_total", source="scrape", reason="malformed") == 1


def test_what_the_store_does_not_take_is_counted_and_told() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = "x 1\n"
        await scene.jobs(node())
        async with scene.running():
            scene.sink.error = QueueFullError("There is no room.")
            await asyncio.sleep(10)
            assert "not stored: There is no room." in scene.one().last.warning
            scene.sink.error = None
            await asyncio.sleep(10)
        return scene

    scene = run(play)
    assert scene.values(X) == [1.0]
    assert scene.counted("scrapes_total", result="lost") == 1
    assert scene.counted("scrapes_total", result="ok") == 1


def test_what_a_target_says_of_its_metrics_is_passed_on_once() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages |= {"a": "# TYPE x counter\nx 1\n", "b": "# TYPE x gauge\nx 1\n"}
        await scene.jobs(node("a:1", "b:1"))
        async with scene.running():
            await asyncio.sleep(60)
        return scene

    scene = run(play)
    assert scene.sink.infos["x"].kind in ("counter", "gauge")
    assert scene.sink.described == 2


def test_a_request_says_what_it_wants_and_how_long_it_waits() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = "x 1\n"
        await scene.jobs(
            node(
                scrape_timeout="2.5s",
                metrics_path="/probe",
                params={"module": ["http_2xx"]},
                basic_auth={"username": "u", "password": "p"},
                http_headers={"X-Scope": {"secrets": ["s"]}},
            )
        )
        async with scene.running():
            await asyncio.sleep(10)
        return scene

    ((_, request),) = run(play).site.asked
    assert str(request.url) == "http://a:1/probe?module=http_2xx"
    assert request.headers["X-Prometheus-Scrape-Timeout-Seconds"] == "2.5"
    assert request.headers["Accept-Encoding"] == "gzip"
    assert request.headers["Authorization"] == "Basic dTpw"
    assert request.headers["X-Scope"] == "s"
    assert request.headers["Accept"] == (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.9,"
        "application/openmetrics-text;version=0.0.1;q=0.8,"
        "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.7,"
        "text/plain;version=0.0.4;q=0.6,*/*;q=0.1"
    )


def test_many_rows_go_to_the_store_in_parts_and_up_comes_last() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.site.pages["a"] = "".join(f'x{{n="{number}"}} {number}\n' for number in range(5_000))
        await scene.jobs(node())
        async with scene.running():
            await asyncio.sleep(20)
        return scene

    scene = run(play)
    # at the second time the ids are known
    assert [len(batch) for batch in scene.sink.batches] == [2_000, 2_000, 1_005, 5_005]
    stored = scene.samples()
    assert [value for _, _, value in stored] == [float(number) for number in range(5_000)] * 2
    assert [series for _, series, _ in stored[:5_000]] == [series for _, series, _ in stored[5_000:]]
    assert scene.sink.samples()[5_000][0] == scene.sink.samples()[10_005][0] == UP


def test_without_jobs_nothing_is_asked() -> None:
    async def play() -> Scene:
        scene = Scene()
        await scene.jobs()
        async with scene.running():
            await asyncio.sleep(100)
        return scene

    scene = run(play)
    assert (scene.site.asked, scene.sink.batches) == ([], [])
