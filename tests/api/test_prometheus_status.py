"""What the server says of itself, of its targets, rules and alerts, in the forms of Prometheus."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import yaml
from tests.api.test_prometheus_lists import data, refused
from tests.api.world import TESTER, Api, open_api
from tests.support.state import AT_MS

from tocsin.api.settings import ServerSettings
from tocsin.model.errors import UserError
from tocsin.model.people import Role
from tocsin.model.rule import Condition, Rule, Severity

AT_S = AT_MS // 1_000
NOW = "2027-01-15T08:00:00.000Z"


async def test_build_info_names_a_version_and_no_features(admin: httpx.AsyncClient) -> None:
    """Grafana takes a server with `features` for Mimir."""
    told = await data(admin, "status/buildinfo")
    assert told["version"].startswith("3.")
    assert told["revision"] == "tocsin-0.1.0"
    assert "features" not in told


async def test_runtime_info_flags_and_alertmanagers(admin: httpx.AsyncClient) -> None:
    runtime = await data(admin, "status/runtimeinfo")
    assert (runtime["serverTime"], runtime["storageRetention"]) == (NOW, "7d")
    flags = await data(admin, "status/flags")
    assert (flags["query.lookback-delta"], flags["query.timeout"]) == ("5m", "2m")
    assert await data(admin, "alertmanagers") == {"activeAlertmanagers": [], "droppedAlertmanagers": []}


async def test_tsdb_names_what_there_is_most_of(admin: httpx.AsyncClient) -> None:
    samples = [{"name": "cpu", "value": 1, "tags": {"host": host}, "timestamp": AT_S} for host in "abc"]
    await admin.post("/api/metrics", json=[*samples, {"name": "mem", "value": 1, "timestamp": AT_S - 60}])
    told = await data(admin, "status/tsdb", limit=1)
    assert told["headStats"] == {
        "numSeries": 4,
        "numLabelPairs": 5,
        "chunkCount": 0,
        "minTime": AT_MS - 60_000,
        "maxTime": AT_MS,
    }
    assert told["seriesCountByMetricName"] == [{"name": "cpu", "value": 3}]
    assert told["labelValueCountByLabelName"] == [{"name": "host", "value": 3}]
    assert told["seriesCountByLabelValuePair"] == [{"name": "__name__=cpu", "value": 3}]


@pytest.fixture
async def scraping(admin: httpx.AsyncClient) -> httpx.AsyncClient:
    job = {
        "job_name": "node",
        "scrape_interval": "15s",
        "scrape_timeout": "10s",
        "basic_auth": {"username": "u", "password": "hunter2"},
        "static_configs": [{"targets": ["a:1", "b:1"], "labels": {"rack": "7"}}],
        "relabel_configs": [{"source_labels": ["__address__"], "regex": "b:1", "action": "drop"}],
    }
    assert (await admin.post("/api/scrape/jobs", json=job)).status_code == 201
    other = {"job_name": "app", "static_configs": [{"targets": ["c:1"]}]}
    assert (await admin.post("/api/scrape/jobs", json=other)).status_code == 201
    return admin


async def test_targets_as_prometheus_tells_them(scraping: httpx.AsyncClient) -> None:
    told = await data(scraping, "targets", scrapePool="node")
    discovered = {
        "__address__": "a:1",
        "__metrics_path__": "/metrics",
        "__scheme__": "http",
        "__scrape_interval__": "15s",
        "__scrape_timeout__": "10s",
        "job": "node",
        "rack": "7",
    }
    assert told == {
        "activeTargets": [
            {
                "discoveredLabels": discovered,
                "labels": {"instance": "a:1", "job": "node", "rack": "7"},
                "scrapePool": "node",
                "scrapeUrl": "http://a:1/metrics",
                "globalUrl": "http://a:1/metrics",
                "lastError": "",
                "lastScrape": "0001-01-01T00:00:00Z",
                "lastScrapeDuration": 0.0,
                "health": "unknown",
                "scrapeInterval": "15s",
                "scrapeTimeout": "10s",
            }
        ],
        "droppedTargets": [{"discoveredLabels": discovered | {"__address__": "b:1"}, "scrapePool": "node"}],
        "droppedTargetCounts": {"node": 1},
    }


async def test_targets_are_chosen_by_state_and_pool(scraping: httpx.AsyncClient) -> None:
    assert await data(scraping, "scrape_pools") == {"scrapePools": ["app", "node"]}
    active = await data(scraping, "targets", state="active")
    assert [one["scrapePool"] for one in active["activeTargets"]] == ["app", "node"]
    assert active["droppedTargets"] == []
    dropped = await data(scraping, "targets", state="dropped")
    assert (dropped["activeTargets"], len(dropped["droppedTargets"])) == ([], 1)


async def test_metadata_of_targets(scraping: httpx.AsyncClient) -> None:
    assert await refused(scraping, "targets/metadata") == (404, "not_found", "specified metadata not found")


async def test_the_configuration_is_shown_without_secrets(scraping: httpx.AsyncClient) -> None:
    text = (await data(scraping, "status/config"))["yaml"]
    jobs = yaml.safe_load(text)["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["app", "node"]
    assert "hunter2" not in text
    assert jobs[1]["basic_auth"]["password"] == "<secret>"


@pytest.fixture
async def firing(api: Api, admin: httpx.AsyncClient) -> httpx.AsyncClient:
    rule = Rule(0, "High", "cpu", Condition.ABOVE, 80.0, severity=Severity.CRITICAL, description="Too hot.")
    await api.services.rules.add(rule, TESTER)
    await api.services.rules.add(Rule(0, "Full", "disk", Condition.ABOVE, 90.0, 60_000), TESTER)
    await api.push("cpu", 97.5, host="a")
    await api.push("disk", 91.0, host="a")
    return admin


async def test_rules_and_their_alerts(firing: httpx.AsyncClient) -> None:
    (group,) = (await data(firing, "rules"))["groups"]
    high, full = group.pop("rules")
    assert group == {
        "name": "thresholds",
        "file": "tocsin",
        "interval": 0.0,
        "limit": 0,
        "evaluationTime": 0.0,
        "lastEvaluation": NOW,
    }
    assert high == {
        "name": "High",
        "query": "cpu > 80",
        "labels": {"severity": "critical"},
        "state": "firing",
        "duration": 0.0,
        "keepFiringFor": 0.0,
        "annotations": {"description": "Too hot."},
        "alerts": [
            {
                "labels": {"alertname": "High", "host": "a", "severity": "critical"},
                "annotations": {"description": "Too hot."},
                "state": "firing",
                "activeAt": NOW,
                "value": "9.75e+01",
            }
        ],
        "health": "ok",
        "evaluationTime": 0.0,
        "lastEvaluation": NOW,
        "type": "alerting",
    }
    assert (full["state"], full["duration"]) == ("pending", 60.0)


async def test_rules_are_chosen(firing: httpx.AsyncClient) -> None:
    async def names(**params: Any) -> list[str]:
        groups = (await data(firing, "rules", **params))["groups"]
        return [rule["name"] for group in groups for rule in group["rules"]]

    assert await names(type="alert") == ["High", "Full"]
    assert await names(type="record") == []
    assert await names(**{"rule_name[]": ["Full", "x"]}) == ["Full"]
    assert await names(**{"rule_group[]": "x"}) == []
    assert await names(**{"file[]": "tocsin"}) == ["High", "Full"]
    assert await names(**{"match[]": '{severity="critical"}'}) == ["High"]
    (group,) = (await data(firing, "rules", exclude_alerts="true"))["groups"]
    assert all(rule["alerts"] == [] for rule in group["rules"])
    paged = await data(firing, "rules", group_limit=1)
    assert (len(paged["groups"]), "groupNextToken" in paged) == (1, False)


async def test_alerts(firing: httpx.AsyncClient) -> None:
    alerts = (await data(firing, "alerts"))["alerts"]
    assert sorted((one["labels"]["alertname"], one["state"], one["value"]) for one in alerts) == [
        ("Full", "pending", "9.1e+01"),
        ("High", "firing", "9.75e+01"),
    ]


FILE = """
groups:
  - name: web
    interval: 30s
    limit: 5
    labels: {team: web}
    rules:
      - record: job:cpu:sum
        expr: sum by (job) (cpu)
      - alert: Hot
        expr: cpu > 90
        keep_firing_for: 5m
        labels: {severity: page}
        annotations: {summary: "{{ $labels.host }} is at {{ $value }}"}
      - alert: Broken
        expr: cpu * on () group_left () cpu
"""


async def test_groups_of_rule_files_are_told_with_how_they_are(api: Api, firing: httpx.AsyncClient) -> None:
    await api.push("cpu", 10.0, host="b")
    assert (await firing.put("/api/rule-files/web.yml", json={"text": FILE})).is_success
    await api.services.rule_groups.look(AT_MS + 60_000)
    groups = (await data(firing, "rules", **{"rule_group[]": "web"}))["groups"]
    (group,) = groups
    record, hot, broken = group["rules"]
    assert (group["interval"], group["limit"], group["file"].endswith("web.yml")) == (30.0, 5, True)
    assert group["lastEvaluation"].startswith("2027-01-15T0")
    assert (record["type"], record["query"], record["health"]) == ("recording", "sum by (job) (cpu)", "ok")
    assert record["labels"] == {"team": "web"}
    assert "state" not in record
    (alert,) = hot["alerts"]
    assert (hot["state"], hot["keepFiringFor"], hot["labels"]) == ("firing", 300.0, {"severity": "page", "team": "web"})
    assert alert["labels"] == {"alertname": "Hot", "host": "a", "severity": "page", "team": "web"}
    assert alert["annotations"] == {"summary": "a is at 97.5"}
    assert broken["health"] == "err"
    assert "many-to-many" in broken["lastError"] or "duplicate series" in broken["lastError"]
    assert {one["name"] for one in (await data(firing, "rules", type="record"))["groups"]} == {"web"}
    first = await data(firing, "rules", group_limit=1)
    second = await data(firing, "rules", group_limit=1, group_next_token=first["groupNextToken"])
    assert [one["groups"][0]["name"] for one in (first, second)] == ["thresholds", "web"]
    assert "groupNextToken" not in second


PAGE = {"Origin": "https://dash.example"}


async def test_pages_of_other_origins_may_ask_where_the_settings_say_so() -> None:
    async with open_api(ServerSettings(cors_origins=("https://dash.example",))) as api, api.client(Role.VIEWER) as http:
        asked = PAGE | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        before = await http.options("/api/v1/query", headers=asked)
        assert before.status_code == 200
        assert before.headers["access-control-allow-origin"] == "https://dash.example"
        answer = await http.post("/api/v1/query", data={"query": "1", "time": "4"}, headers=PAGE)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://dash.example")
        assert "access-control-allow-credentials" not in answer.headers
        other = await http.get("/api/v1/query", params={"query": "1"}, headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_by_itself_no_other_origin_may_ask(api: Api) -> None:
    async with api.client(Role.VIEWER) as http:
        answer = await http.get("/api/v1/query", params={"query": "1"}, headers=PAGE)
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["dash.example", "https://dash.example/", "ftp://a"])
def test_an_origin_has_a_scheme_and_no_path(origin: str) -> None:
    with pytest.raises(UserError, match="no origin"):
        ServerSettings(cors_origins=(origin,))
