from __future__ import annotations

import httpx
import pytest
from tests.support.state import AT_MS

DAY_S = 86_400
AT_S = AT_MS // 1_000


@pytest.fixture
async def filled(admin: httpx.AsyncClient) -> httpx.AsyncClient:
    samples = [
        {"name": "cpu", "value": 1, "tags": {"host": host, "job": "node"}, "timestamp": AT_S - age}
        for host, age in (("a", 0), ("b", 0), ("c", 3 * DAY_S))
    ]
    samples.append({"name": "disk", "value": 1, "tags": {"host": "a", "mount/point": "/"}, "timestamp": AT_S})
    answer = await admin.post("/api/metrics", json=samples)
    assert answer.json()["stored"] == 4
    return admin


async def test_series_come_page_by_page(filled: httpx.AsyncClient) -> None:
    seen: list[tuple[str, str]] = []
    cursor = ""
    for _ in range(4):
        page = (await filled.get("/api/series", params={"limit": 1, "cursor": cursor})).json()
        seen += [(one["name"], one["labels"]["host"]) for one in page["items"]]
        cursor = page["next"]
    assert cursor is None
    assert sorted(seen) == [("cpu", "a"), ("cpu", "b"), ("cpu", "c"), ("disk", "a")]


async def test_series_are_chosen_by_name_matchers_and_time(filled: httpx.AsyncClient) -> None:
    async def hosts(**params: str | int) -> list[str]:
        listed = (await filled.get("/api/series", params=params)).json()["items"]
        return sorted(one["labels"]["host"] for one in listed)

    assert await hosts(name="cpu", match='host!="b"') == ["a", "c"]
    assert await hosts(name="cpu", end=AT_S - DAY_S) == ["c"]
    assert await hosts(name="cpu", start=AT_S - DAY_S) == ["a", "b"]
    assert await hosts(start=AT_S + DAY_S) == []


async def test_label_names_and_values_are_listed(filled: httpx.AsyncClient) -> None:
    async def listed(path: str, **params: str | int) -> list[str]:
        return list((await filled.get(path, params=params)).json()["items"])

    assert await listed("/api/labels") == ["__name__", "host", "job", "mount/point"]
    assert await listed("/api/labels", name="cpu") == ["__name__", "host", "job"]
    assert await listed("/api/labels/host/values") == ["a", "b", "c"]
    assert await listed("/api/labels/host/values", start=AT_S - 60, limit=1) == ["a"]
    assert await listed("/api/labels/mount/point/values") == ["/"]
    assert await listed("/api/labels/__name__/values") == ["cpu", "disk"]
    assert await listed("/api/labels/none/values") == []


async def test_stats_name_the_largest_first(filled: httpx.AsyncClient) -> None:
    told = (await filled.get("/api/series/stats", params={"limit": 1})).json()
    assert told["metrics"] == [{"name": "cpu", "series": 3}]
    assert told["labels"] == [{"name": "host", "values": 3}]
    assert told["pairs"] == [{"name": "__name__", "value": "cpu", "series": 3}]
    assert (told["series"], told["series_max"], told["metric_series_max"]) == (4, 1_000_000, 200_000)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/series?match=x", "is not a matcher"),
        ("/api/series?start=yesterday", "start is not a time"),
        ("/api/labels?start=2&end=1", "start must not be after end"),
        ("/api/series?cursor=x", "This cursor was not given"),
        ("/api/series?cursor=ImEi", "This cursor was not given"),
        ("/api/series?cursor=LTE", "This cursor was not given"),
    ],
)
async def test_what_cannot_be_read_is_answered_with_a_sentence(admin: httpx.AsyncClient, path: str, said: str) -> None:
    answer = await admin.get(path)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
