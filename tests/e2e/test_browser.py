"""The main job as a person does it, in a real browser: watch, be alerted, acknowledge, look back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, FilePayload, Page, expect
from tests.support.browser import chromium, sign_in
from tests.support.server import ServerProcess

pytestmark = pytest.mark.browser

WAIT_MS = 30_000
CHART = "CPU, chart"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("browser") / "data", {"TOCSIN_HOST__INTERVAL": "1s"}) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own; whatever it complains about on the console fails the test."""
    context = browser.new_context()
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        # The first question whether somebody is signed in is answered 401, and a mistake 400 or 422, which
        # Chromium writes down itself.
        if message.type == "error" and not re.search(r"status of (400|401|422)", message.text):
            complaints.append(message.text)

    opened.on("console", listen)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    assert complaints == []


def test_an_alert_is_seen_acknowledged_and_found_again(server: ServerProcess, page: Page) -> None:
    sign_in(page, server.url)
    chart = page.get_by_role("slider", name=CHART)
    expect(chart).to_be_visible(timeout=WAIT_MS)
    _wait_until_it_moves(page)

    _push(server, "browser.value", 1)
    page.get_by_role("link", name="Rules").first.click()
    page.get_by_role("link", name="New rule").click()
    page.get_by_label("Name", exact=True).fill("Browser value")
    page.get_by_label("Metric", exact=True).fill("browser.value")
    page.get_by_label("Threshold").fill("10")
    page.get_by_label("Lasting").fill("0")
    page.get_by_role("button", name="Create rule").click()
    expect(page.get_by_role("link", name="Browser value", exact=True)).to_be_visible(timeout=WAIT_MS)

    page.get_by_role("link", name="Overview").first.click()
    _push(server, "browser.value", 42)
    button = page.get_by_role("button", name="Acknowledge Browser value")
    expect(button).to_be_visible(timeout=WAIT_MS)

    button.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Comment").fill("on it")
    dialog.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("admin took care of it").first).to_be_visible(timeout=WAIT_MS)

    page.get_by_role("link", name="History").first.click()
    row = page.get_by_role("region", name="Alerts that fired")
    expect(row.get_by_text("Browser value").first).to_be_visible(timeout=WAIT_MS)
    expect(row.get_by_text("on it").first).to_be_visible(timeout=WAIT_MS)


RULE_FILE = """groups:
- name: browser
  interval: 1s
  rules:
  - {record: browser:double, expr: browser_up * 2}
  - {alert: BrowserDown, expr: "browser:double == 0"}
"""


def test_a_rule_file_is_refused_with_its_places_and_taken_when_it_is_right(server: ServerProcess, page: Page) -> None:
    sign_in(page, server.url)
    _push(server, "browser_up", 0)
    page.goto(f"{server.url}/#/rules/groups")
    expect(page.get_by_role("button", name="Upload rule files")).to_be_visible(timeout=WAIT_MS)
    _upload(page, RULE_FILE.replace("browser_up * 2", "browser_up *"))
    expect(page.get_by_role("alert").get_by_text("line 5, column")).to_be_visible(timeout=WAIT_MS)
    _upload(page, RULE_FILE)
    group = page.get_by_role("region", name="browser", exact=True)
    expect(group.get_by_text("1 firing")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_role("button", name="Download mine.yml")).to_be_visible()
    page.get_by_role("link", name="Alerts").first.click()
    page.get_by_role("link", name="BrowserDown").click()
    expect(page.get_by_text("browser:double == 0")).to_be_visible(timeout=WAIT_MS)
    page.goto(f"{server.url}/#/rules/groups")
    page.get_by_role("button", name="Delete mine.yml").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(group).to_have_count(0, timeout=WAIT_MS)


def test_a_rule_that_is_an_expression_is_checked_at_its_field(server: ServerProcess, page: Page) -> None:
    sign_in(page, server.url)
    page.goto(f"{server.url}/#/rules/new?expr=sum(up")
    expect(page.get_by_role("alert").get_by_text("1:")).to_be_visible(timeout=WAIT_MS)  # the preview says so first
    page.get_by_label("Name", exact=True).fill("Browser expression")
    page.get_by_role("button", name="Create rule").click()
    expect(page.locator("form").get_by_role("alert").get_by_text("1:")).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("textbox", name="PromQL expression").fill("sum(up) == 0")
    page.get_by_role("button", name="Create rule").click()
    expect(page.get_by_role("link", name="Browser expression", exact=True)).to_be_visible(timeout=WAIT_MS)


def _upload(page: Page, text: str) -> None:
    file: FilePayload = {"name": "mine.yml", "mimeType": "application/yaml", "buffer": text.encode()}
    page.locator("input[type=file]").set_input_files(file)


def test_a_wrong_password_is_told(server: ServerProcess, page: Page) -> None:
    page.goto(server.url)
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible(timeout=WAIT_MS)


def _wait_until_it_moves(page: Page) -> None:
    """The picture of the chart changes without anybody touching the page."""
    canvas = page.get_by_role("slider", name=CHART).locator("canvas").first
    canvas.wait_for()
    before = canvas.evaluate("canvas => canvas.toDataURL()")
    page.wait_for_function(
        "([name, before]) => document.querySelector(`[aria-label='${name}'] canvas`)?.toDataURL() !== before",
        arg=[CHART, before],
        timeout=WAIT_MS,
    )


def _push(server: ServerProcess, name: str, value: float) -> None:
    with server.client() as client:
        client.post("/api/metrics", json={"name": name, "value": value}).raise_for_status()


def test_a_backup_is_made_from_the_settings_and_is_whole(server: ServerProcess, page: Page, tmp_path: Path) -> None:
    sign_in(page, server.url)
    page.get_by_role("link", name="Settings").first.click()
    page.get_by_role("link", name="Backups").click()
    expect(page.get_by_text("No backup has been made.")).to_be_visible()
    page.get_by_label("Where to").fill(str(tmp_path / "place"))
    page.get_by_role("button", name="Back up now").click()
    expect(page.get_by_text("read back and compared")).to_be_visible()
    assert len(list((tmp_path / "place" / "backups").iterdir())) == 1


def test_a_scrape_job_is_made_seen_failing_corrected_and_paused(server: ServerProcess, page: Page) -> None:
    sign_in(page, server.url)
    page.get_by_role("link", name="Targets").first.click()
    expect(page.get_by_text("No scrape jobs.")).to_be_visible()
    page.get_by_role("link", name="New job").click()
    page.get_by_label("Name", exact=True).fill("browser")
    page.get_by_label("Targets", exact=True).fill("http://127.0.0.1:9/metrics")
    page.get_by_role("button", name="Create job").click()
    expect(page.get_by_text("a target is HOST:PORT")).to_be_visible()
    page.get_by_label("Targets", exact=True).fill("127.0.0.1:9")
    page.get_by_label("Every", exact=True).fill("1s")
    page.get_by_label("Who asks").select_option("token")
    page.get_by_label("Token").fill("hunter2")
    page.get_by_label("Everything else").fill('{"relabel_configs": [{"action": "jump"}]}')
    page.get_by_role("button", name="Create job").click()
    expect(page.get_by_text("There is no action 'jump'")).to_be_visible()
    page.get_by_label("Everything else").fill("")
    page.get_by_role("button", name="Create job").click()

    jobs, targets = (
        page.get_by_role("region", name="Scrape jobs"),
        page.get_by_role("region", name="Targets", exact=True),
    )
    expect(jobs.get_by_text("1 down")).to_be_visible(timeout=WAIT_MS)
    expect(targets.get_by_text("Cannot connect: Connection refused")).to_be_visible(timeout=WAIT_MS)

    jobs.get_by_role("link", name="browser").click()
    expect(page.get_by_label("Token")).to_have_value("")
    page.get_by_label("Their labels").fill("rack=a7")
    page.get_by_role("button", name="Save").click()
    expect(targets.get_by_text("a7")).to_be_visible(timeout=WAIT_MS)
    jobs.get_by_role("switch", name="browser: scraped").click()
    expect(jobs.get_by_text("paused")).to_be_visible()
    expect(page.get_by_text("Nothing is scraped.")).to_be_visible()
    with server.client() as admin:
        (job,) = admin.get("/api/scrape/jobs").json()["items"]
    assert job["config"]["authorization"] == {"credentials": "<secret>"}
