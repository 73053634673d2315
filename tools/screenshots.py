"""Pictures of every page, light, dark and on a phone: `python tools/screenshots.py FOLDER [SECONDS]`.

Starts a server of its own, lets it watch this machine for some seconds, breaks a rule, and takes pictures.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import Browser
from tests.support.browser import chromium, sign_in
from tests.support.server import ServerProcess

PAGES = ("", "alerts", "history", "rules", "rules/1", "rules/new", "metrics", "metrics/system.cpu.usage", "outbox")
SETTINGS = ("settings", "settings/users", "settings/tokens", "settings/audit")
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
            break_a_rule(server)
            time.sleep(seconds)
            with chromium() as browser:
                for look, options in LOOKS.items():
                    take(browser, server.url, folder, look, options)


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
