import httpx
import pytest
from tests.api.world import Api
from tests.support.state import AT_MS

HOUR_S = 3_600


async def push_line(client: httpx.AsyncClient, host: str, slope: float, start: float = 10.0) -> None:
    """24 readings, an hour apart, up to now."""
    at_s = AT_MS // 1_000
    samples = [
        {
            "name": "load",
            "tags": {"host": host},
            "value": start + slope * hour,
            "timestamp": at_s - (23 - hour) * HOUR_S,
        }
        for hour in range(24)
    ]
    assert (await client.post("/api/metrics", json=samples)).status_code == 200


async def test_without_data_there_is_no_trend(admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/api/trends/nothing")
    assert answer.status_code == 200
    assert answer.json() == {
        "name": "nothing",
        "hours": 24,
        "trend": "no_data",
        "avg": 0,
        "min": 0,
        "max": 0,
        "slope_per_hour": 0,
        "change": 0,
        "samples": 0,
        "series": 0,
    }


async def test_one_rising_series_rises(admin: httpx.AsyncClient) -> None:
    await push_line(admin, "a", 2.0)
    body = (await admin.get("/api/trends/load")).json()
    assert body["trend"] == "up"
    assert (body["min"], body["max"], body["samples"], body["series"]) == (10, 56, 24, 1)
    assert body["avg"] == pytest.approx(33)
    assert body["slope_per_hour"] == pytest.approx(2)
    assert body["change"] == pytest.approx(46)


async def test_several_series_are_averaged(admin: httpx.AsyncClient) -> None:
    await push_line(admin, "a", 3.0)
    await push_line(admin, "b", -1.0, start=100.0)
    body = (await admin.get("/api/trends/load")).json()
    assert (body["trend"], body["series"]) == ("up", 2)
    assert body["slope_per_hour"] == pytest.approx(1)
    assert (body["min"], body["max"]) == (10, 100)
    one = (await admin.get("/api/trends/load", params={"match": 'host="b"'})).json()
    assert (one["trend"], one["series"]) == ("down", 1)


async def test_only_the_hours_that_were_asked_for_count(admin: httpx.AsyncClient) -> None:
    await push_line(admin, "a", 1.0)
    assert (await admin.get("/api/trends/load", params={"hours": 5})).json()["samples"] == 6
    assert (await admin.get("/api/trends/load", params={"hours": 0.5})).json()["samples"] == 1


async def test_a_metric_may_have_any_name(api: Api, admin: httpx.AsyncClient) -> None:
    await api.push("disk/used ü", 1)
    body = (await admin.get("/api/trends/disk%2Fused%20%C3%BC")).json()
    assert (body["name"], body["samples"]) == ("disk/used ü", 1)
