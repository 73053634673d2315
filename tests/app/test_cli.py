"""The command line, as it is typed. One server for the whole module; what needs none runs before and after."""

from __future__ import annotations

import gzip
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.server import ServerProcess

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    environment = {"TOCSIN_HOST__ENABLED": "false"}
    with ServerProcess(tmp_path_factory.mktemp("cli") / "data", environment) as running:
        yield running


def tocsin(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tocsin.app", *arguments],
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_sample_goes_in_and_its_trend_comes_out(server: ServerProcess) -> None:
    assert server.run("store", "cli.metric", "12.5", "--tag", "queue=mail") == ""
    answer = json.loads(server.run("trend", "cli.metric", "--hours", "1", "--json"))
    assert (answer["avg"], answer["min"], answer["max"]) == (12.5, 12.5, 12.5)
    assert "cli.metric is flat" in server.run("trend", "cli.metric")


def test_series_and_labels_are_listed_and_counted(server: ServerProcess) -> None:
    server.run("store", "cli.series", "1", "--tag", "queue=mail")
    server.run("store", "cli.series", "1", "--tag", "queue=print")
    assert sorted(server.run("series", "list", "cli.series").splitlines()) == [
        'cli.series{queue="mail"}',
        'cli.series{queue="print"}',
    ]
    (only,) = json.loads(server.run("series", "list", "cli.series", "-m", "queue=mail", "--json"))["items"]
    assert only == {"name": "cli.series", "labels": {"queue": "mail"}}
    assert server.run("series", "list", "--end", "1") == ""
    assert server.run("series", "labels", "--name", "cli.series") == "__name__\nqueue\n"
    assert server.run("series", "labels", "queue", "--name", "cli.series") == "mail\nprint\n"
    told = json.loads(server.run("series", "stats", "--json"))
    assert {"name": "cli.series", "series": 2} in told["metrics"]
    assert "cli.series" in server.run("series", "stats")


def test_an_expression_is_asked_now_and_over_a_range(server: ServerProcess) -> None:
    for value in ("1", "4"):
        server.run("store", "cli_asked", value, "--tag", f"queue=[{value}]")
    assert re.search(r"^cli_asked\{queue=\"\[4\]\"\} +4 *$", server.run("query", "cli_asked"), re.MULTILINE)
    answer = json.loads(server.run("query", "sum(cli_asked)", "--json", "--explain"))
    assert answer["data"]["result"][0]["value"][1] == "5"
    assert answer["explain"]["selectors"][0]["function"] == "newest"
    assert server.run("query", "scalar(sum(cli_asked))") == "5\n"
    assert server.run("query", "cli_asked", "--time", "1000") == "There is no such series.\n"
    an_hour_on = ("--start", "2026-01-01T00:00:00Z", "--end", "2026-01-01T01:00:00Z")
    (row,) = server.run("query", "vector(2)", *an_hour_on).splitlines()[1:]
    assert row.split() == ["{}", "▄" * 20, "2", "2", "2"]
    drawn = server.run("query", "vector(2)", *an_hour_on, "--chart")
    assert re.search(r"^  2 ┤[⠤⠒⠉⣀]{50}", drawn, re.MULTILINE)
    assert re.search(r"^ +00:00:00 +01:00:00 UTC$", drawn, re.MULTILINE)
    told = server.run("query", "sum(cli_asked)", "--explain")
    assert re.search(
        r'\{__name__="cli_asked"\}: newest.*\n  \w+: 2 series, 2 samples in [\d.]+ ms, resolution raw\n', told
    )
    assert re.search(r"^evaluate +\d", told, re.MULTILINE)


def test_a_mistake_in_an_expression_is_pointed_at(server: ServerProcess) -> None:
    wrong = tocsin("query", "sum(rate(x[5m]", "--data-dir", str(server.data_dir))
    assert wrong.returncode == 1
    assert wrong.stderr == ("tocsin: 1:9: parse error: unclosed left parenthesis\n  sum(rate(x[5m]\n          ^\n")


def test_what_is_noted_beside_an_answer_goes_to_standard_error(server: ServerProcess) -> None:
    for value in ("1", "2"):
        server.run("store", "cli_noted", value)
    noted = tocsin("query", "rate(cli_noted[5m])", "--data-dir", str(server.data_dir))
    assert noted.returncode == 0
    assert noted.stdout.startswith("series")
    assert noted.stderr.startswith("info: metric might not be a counter")


def test_the_default_rules_are_listed(server: ServerProcess) -> None:
    rules = json.loads(server.run("rules", "list", "--json"))["items"]
    assert [rule["name"] for rule in rules][:3] == ["High CPU Usage", "High Memory Usage", "Low Disk Space"]
    assert "High CPU Usage" in server.run("rules", "list")


def test_rules_are_exported_as_a_file_that_is_right(server: ServerProcess, tmp_path: Path) -> None:
    assert server.run("rules", "export", "--output", str(tmp_path / "rules.yml")) == ""
    assert (tmp_path / "rules.yml").read_text() == server.run("rules", "export")
    assert "rules found" in tocsin("rules", "check", str(tmp_path / "rules.yml")).stdout
    assert "alert: High CPU Usage" in (tmp_path / "rules.yml").read_text()


def test_rule_files_are_imported_listed_exported_and_deleted(server: ServerProcess, tmp_path: Path) -> None:
    good, bad = tmp_path / "web.yml", tmp_path / "bad.yml"
    good.write_text("groups: [{name: cli, rules: [{record: one, expr: '1'}]}]")
    bad.write_text("groups: [{name: cli, rules: [{record: one, expr: '1 +'}]}]")
    refused = tocsin("rules", "import", str(bad), str(good), "--data-dir", str(server.data_dir))
    assert (refused.returncode, "bad.yml:1:54: group 'cli', rule 'one': expr: " in refused.stderr) == (1, True)
    assert server.run("rules", "files") == "There are no rule files.\n"
    assert server.run("rules", "import", str(good)) == "web.yml: 1 groups, 1 rules.\n"
    (file,) = json.loads(server.run("rules", "files", "--json"))["items"]
    assert (file["name"], file["uploaded"], file["problems"]) == ("web.yml", True, [])
    assert "web.yml" in server.run("rules", "files")
    assert "cli" in [group["name"] for group in json.loads(server.run("rules", "groups", "--json"))["items"]]
    assert "cli" in server.run("rules", "groups")
    assert server.run("rules", "export", "--file", "web.yml") == good.read_text()
    assert server.run("rules", "delete-file", "web.yml") == ""
    assert json.loads(server.run("rules", "files", "--json"))["items"] == []


def test_a_retention_policy_is_previewed_set_listed_and_deleted(server: ServerProcess) -> None:
    hours_ago = [str(time.time() - hours * 3_600) for hours in (1, 30, 60)]  # noqa: TID251 - the server's own clock
    for at in hours_ago:
        server.run("store", "cli.kept", "1", "--tag", "team=dev", "--timestamp", at)
    policy = ("dev", "--match", '{team="dev"}', "--raw", "1d", "--hours", "1y")
    said = json.loads(server.run("retention", "preview", *policy, "--json"))
    assert (said["samples"], said["series"]) == (2, 1)
    refused = tocsin("retention", "set", *policy, "--data-dir", str(server.data_dir))
    assert (refused.returncode, "This will delete 2 samples" in refused.stderr) == (1, True)
    server.run("retention", "set", *policy, "--yes")
    (kept,) = json.loads(server.run("retention", "list", "--json"))["items"]
    assert (kept["name"], kept["matchers"], kept["raw"], kept["five_minutes"]) == ("dev", ['team="dev"'], "1d", None)
    server.run("retention", "set", "dev", "--raw", "default", "--hours", "30d", "--yes")
    assert "7d (default)" in server.run("retention", "list")
    server.run("retention", "delete", "dev", "--yes")
    assert json.loads(server.run("retention", "list", "--json"))["items"] == []


def test_series_are_deleted_for_good(server: ServerProcess) -> None:
    server.run("store", "cli.gone", "1", "--tag", "user=anna")
    server.run("store", "cli.gone", "1", "--tag", "user=bert")
    refused = tocsin("series", "delete", '{user="anna"}', "--data-dir", str(server.data_dir))
    assert (refused.returncode, "1 samples of 1 series" in refused.stderr) == (1, True)
    assert json.loads(server.run("series", "delete", '{user="anna"}', "--yes", "--json"))["series"] == 1
    left = json.loads(server.run("series", "list", "cli.gone", "--json"))["items"]
    assert [one["labels"] for one in left] == [{"user": "bert"}]
    again = tocsin("series", "delete", '{user="anna"}', "--yes", "--data-dir", str(server.data_dir))
    assert "No series fits" in again.stderr


def test_an_alert_is_listed_and_acknowledged(server: ServerProcess) -> None:
    with server.client() as client:
        rule = {"name": "Cli", "metric_name": "cli.alert", "condition": ">", "threshold": 1, "duration": 0}
        client.post("/api/rules", json=rule).raise_for_status()
    server.run("store", "cli.alert", "2")
    (alert,) = json.loads(server.run("alerts", "list", "--json", "--state", "firing"))["items"]
    assert alert["rule_name"] == "Cli"
    assert "Acknowledged Cli" in server.run("alerts", "ack", str(alert["id"]), "--comment", "on it")
    (alert,) = json.loads(server.run("alerts", "list", "--json", "--state", "firing"))["items"]
    assert (alert["acknowledged"], alert["comment"]) == (True, "on it")


def test_a_token_is_held_to_labels_that_its_samples_carry(server: ServerProcess) -> None:
    limits = ("--label", "team=web", "--label", "site=fra", "--rate", "1000", "--series-max", "10")
    token = server.run("token", "create", "--role", "writer", "--name", "held", *limits).strip()
    with server.client() as client:
        client.headers["Authorization"] = f"Bearer {token}"
        sample = {"name": "cli.held", "value": 1, "tags": {"team": "db"}}
        assert client.post("/api/metrics", json=sample).status_code == 200
    with server.client() as client:
        (series,) = client.get("/api/metrics/series", params={"name": "cli.held"}).json()["items"]
    assert series["labels"] == {"team": "web", "site": "fra", "exported_team": "db"}
    (listed,) = [one for one in json.loads(server.run("token", "list", "--json"))["items"] if one["name"] == "held"]
    assert (listed["rate"], listed["series_max"]) == (1000, 10)
    server.run("token", "limit", str(listed["id"]), "--rate", "0", "--series-max", "20")
    (listed,) = [one for one in json.loads(server.run("token", "list", "--json"))["items"] if one["name"] == "held"]
    assert (listed["labels"], listed["rate"], listed["series_max"]) == ({"team": "web", "site": "fra"}, None, 20)
    assert "team=web" in server.run("token", "list")


def test_a_token_is_held_to_what_it_reads(server: ServerProcess) -> None:
    reads = ("--read", 'team="web"', "--read", 'env!="test"')
    token = server.run("token", "create", "--role", "viewer", "--name", "reader", *reads).strip()
    with server.client() as client:
        samples = [{"name": "cli.read", "value": 1, "tags": {"team": team}} for team in ("web", "db")]
        assert client.post("/api/metrics", json=samples).json()["stored"] == 2
        client.cookies.clear()
        client.headers["Authorization"] = f"Bearer {token}"
        asked = {"query": 'count by (team) ({"cli.read"})'}
        (found,) = client.get("/api/v1/query", params=asked).json()["data"]["result"]
        assert found["metric"] == {"team": "web"}
    (listed,) = [one for one in json.loads(server.run("token", "list", "--json"))["items"] if one["name"] == "reader"]
    assert listed["reads"] == ['team="web"', 'env!="test"']
    server.run("token", "limit", str(listed["id"]), "--read", 'team="db"')
    (listed,) = [one for one in json.loads(server.run("token", "list", "--json"))["items"] if one["name"] == "reader"]
    assert listed["reads"] == ['team="db"']
    server.run("token", "limit", str(listed["id"]), "--read-all")
    (listed,) = [one for one in json.loads(server.run("token", "list", "--json"))["items"] if one["name"] == "reader"]
    assert listed["reads"] == []


def test_a_token_of_the_running_server_lets_a_program_push_and_nothing_else(server: ServerProcess) -> None:
    token = server.run("token", "create", "--role", "writer", "--name", "app").strip()
    with server.client() as client:
        client.cookies.clear()
        client.headers["Authorization"] = f"Bearer {token}"
        assert client.post("/api/metrics", json={"name": "cli.pushed", "value": 1}).status_code == 200
        assert client.get("/api/alerts").status_code == 403


def test_the_settings_are_read_again_on_sighup(server: ServerProcess) -> None:
    server.hang_up()
    server.wait_for_line("settings reloaded")


def test_everything_works_without_a_server_too(tmp_path: Path) -> None:
    where = ("--data-dir", str(tmp_path / "data"))
    added = tocsin("user", "add", "ada", "--role", "operator", *where, said="a long enough password\n")
    assert added.returncode == 0, added.stderr
    assert tocsin("user", "password", "Ada", *where, said="another long password\n").returncode == 0
    assert "There is no user 'bob'" in tocsin("user", "password", "bob", *where, said="some long password\n").stderr
    assert tocsin("token", "create", "--role", "admin", *where).stdout.startswith("tocsin_")
    assert tocsin("store", "offline.metric", "3", *where).returncode == 0
    answer = tocsin("trend", "offline.metric", "--json", *where)
    assert json.loads(answer.stdout)["avg"] == 3.0
    assert tocsin("alerts", "list", *where).stdout == "Nothing is wrong.\n"


def test_a_file_of_samples_is_imported(server: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "samples.csv.gz"
    file.write_bytes(gzip.compress(b"name,value,host\ncli.imported,1,a\ncli.imported,2,b\n"))
    where = ("--data-dir", str(server.data_dir))
    assert json.loads(tocsin("import", str(file), "--json", *where).stdout)["stored"] == 2
    done = tocsin("import", "--format", "json", "-", *where, said='{"name":"cli.piped","value":3}\nwrong\n')
    assert done.returncode == 1
    assert done.stdout.startswith("1 samples stored, 1 refused, in 2 lines.\n  line 2: The line is not JSON")


def test_a_port_that_is_taken_ends_the_start_with_one_sentence(tmp_path: Path) -> None:
    settings = tmp_path / "tocsin.toml"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        settings.write_text(f'[graphite]\nlisten = "{address}"\n[host]\nenabled = false\n')
        where = ("--config", str(settings), "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
        done = tocsin("serve", *where)
    assert done.returncode == 1
    assert f"tocsin: Cannot listen on {address}: something else listens there." in done.stderr
    assert "Traceback" not in done.stderr


def test_the_scrape_file_is_checked_with_the_settings(tmp_path: Path) -> None:
    scrape = tmp_path / "prometheus.yml"
    settings = tmp_path / "tocsin.toml"
    settings.write_text(f'[scrape]\nconfig_file = "{scrape}"\n')
    scrape.write_text("rule_files: [a]\nscrape_configs:\n  - job_name: a\n")
    fine = tocsin("check-config", "--config", str(settings))
    assert fine.returncode == 0
    assert "rule_files is not about scraping" in fine.stderr
    scrape.write_text("scrape_configs:\n  - job_nam: a\n")
    wrong = tocsin("check-config", "--config", str(settings))
    assert wrong.returncode == 1
    assert "prometheus.yml, line 2, column 5: " in wrong.stderr
    assert "did you mean job_name?" in wrong.stderr
    scrape.write_text("scrape_configs:\n  - job_name: a\n    bearer_token_file: nowhere\n")
    missing = tocsin("check-config", "--config", str(settings))
    assert missing.returncode == 1
    assert f"{scrape}: job a: Cannot read {tmp_path / 'nowhere'}: No such file" in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("store", "x", "many"), 2, "valid number"),
        (("token", "create", "--role", "king"), 1, "There is no role 'king'"),
        (("token", "create"), 2, "--role"),
        (("check-config", "--config", "nowhere.toml"), 1, "Cannot read nowhere.toml"),
        (("alerts", "ack", "999"), 1, "999"),
        (("store", "x", "1", "--tag", "nothing"), 1, "is not a tag"),
        (("serve", "--listen", "nowhere"), 1, "'nowhere'"),
        (("query", "x", "--chart"), 2, "--range 1h"),
        (("query", "x", "--range", "long"), 2, "is not a duration"),
        (("query", "x", "--range", "1h", "--start", "1"), 2, "not both"),
        (("query", "a +", "--range", "1h"), 1, "parse error"),
        (("fly",), 2, "fly"),
    ],
)
def test_a_mistake_is_told_with_its_exit_code(
    tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    where = () if arguments[0] in ("check-config", "fly") else ("--data-dir", str(tmp_path / "data"))
    done = tocsin(*arguments, *where)
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
