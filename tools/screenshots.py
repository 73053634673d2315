"""Pictures of every page, light, dark and on a phone: `python tools/screenshots.py FOLDER [SECONDS]`.

Starts a server of its own, lets it watch this machine for some seconds, breaks a rule, and takes pictures.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import Browser
from tests.support.browser import chromium, sign_in
from tests.support.server import ServerProcess

PAGES = (
    *("", "alerts", "history", "rules", "rules/1", "rules/new"),
    *(
        "metrics",
        "metrics/system.cpu.usage",
        "cardinality",
        "targets",
        "targets/1",
        "targets/new",
        "outbox",
        "retention",
    ),
)
SETTINGS = ("settings", "settings/users", "settings/tokens", "settings/audit", "settings/backups")
LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 860}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 860}},
    "phone": {"color_scheme": "light", "viewport": {"width": 375, "height": 760}, "device_scale_factor": 2},
}


def main() -> None:
    folder = Path(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data:
        environment = {"TOCSIN_HOST__INTERVAL": "1s", "TOCSIN_HOST__HOST": "web-1"}
        with ServerProcess(Path(data) / "data", environment) as server:
            time.sleep(5)
            backfill(server)
            break_a_rule(server)
            scrape(server)
            time.sleep(seconds)
            with chromium() as browser:
                for look, options in LOOKS.items():
                    take(browser, server.url, folder, look, options)


def backfill(server: ServerProcess) -> None:
    """An hour before now for the gauges that the overview charts, around what they are now: made up, and seeded."""
    chance = random.Random(1)
    now = time.time()  # noqa: TID251 - pictures are taken on the machine's own clock
    with server.client() as client:
        for metric in client.get("/api/metrics", params={"limit": 1_000}).json()["items"]:
            if not metric["name"].startswith("system.") or metric["kind"] != "gauge":
                continue
            for series in client.get("/api/metrics/series", params={"name": metric["name"]}).json()["items"]:
                top = 100.0 if metric["unit"] == "%" else None
                values = walk(chance, series["value"] or 0.0, top)
                body = [
                    {"name": metric["name"], "tags": series["labels"], "value": value, "timestamp": now - 10 - age * 10}
                    for age, value in enumerate(values)
                ]
                client.post("/api/metrics", json=body).raise_for_status()


def scrape(server: ServerProcess) -> None:
    """Its own metrics, a target that nobody answers for, and one that relabelling leaves out."""
    token = server.run("token", "create", "--role", "viewer", "--name", "scraping").strip()
    own = {
        "job_name": "tocsin",
        "scrape_interval": "5s",
        "authorization": {"credentials": token},
        "static_configs": [{"targets": [server.url.removeprefix("http://")], "labels": {"site": "fra1"}}],
    }
    node = {
        "job_name": "node",
        "scrape_interval": "5s",
        "static_configs": [{"targets": ["127.0.0.1:9", "127.0.0.1:11"], "labels": {"rack": "a7"}}],
        "relabel_configs": [{"source_labels": ["__address__"], "regex": ".*:11", "action": "drop"}],
    }
    with server.client() as client:
        for job in (own, node):
            client.post("/api/scrape/jobs", json=job).raise_for_status()


def walk(chance: random.Random, start: float, top: float | None) -> list[float]:
    """360 values, backwards from `start`."""
    value, slow, values = start or 1.0, 0.0, []
    for _ in range(360):
        slow = 0.97 * slow + chance.gauss(0, 0.05)
        value = max(0.0, (start or 1.0) * (1 + slow) * (1 + chance.gauss(0, 0.04)))
        values.append(round(min(value, top) if top else value, 2))
    return values


def break_a_rule(server: ServerProcess) -> None:
    rule = {"name": "Mail queue is long", "metric_name": "queue.length", "condition": ">", "threshold": 100}
    with server.client() as client:
        client.post("/api/rules", json={**rule, "duration": 0, "severity": "critical"}).raise_for_status()
        for queue, value in (("mail", 240), ("print", 120), ("mail", 3)):
            sample = {"name": "queue.length", "value": value, "tags": {"queue": queue}}
            client.post("/api/metrics", json=sample).raise_for_status()


def take(browser: Browser, url: str, folder: Path, look: str, options: dict[str, object]) -> None:
    context = browser.new_context(**options)  # type: ignore[arg-type]  # the table above holds what it takes
    page = context.new_page()
    page.goto(url)
    page.wait_for_timeout(500)
    page.screenshot(path=folder / f"{look}-sign-in.png")
    sign_in(page, url)
    page.get_by_role("heading", level=1).first.wait_for()
    for place in (*PAGES, *SETTINGS):
        page.goto(f"{url}/#/{place}")
        page.wait_for_timeout(1_200)
        name = place.replace("/", "-") or "overview"
        page.screenshot(path=folder / f"{look}-{name}.png", full_page=look == "phone")
    context.close()


if __name__ == "__main__":
    main()
