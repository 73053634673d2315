"""The command `tocsin`. Answers go to standard output, everything else to standard error.

Exit codes: 0 done, 1 it could not be done (the sentence says why), 2 the command was typed wrongly.
Commands that read or change what the server keeps speak HTTP to the running server, or to the same
application in this process where no server runs: one road, whether the server is up or down.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar
from urllib.parse import quote

import msgspec
import typer
from rich import filesize
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from tocsin.model.errors import TocsinError, UserError
from tocsin.model.labels import Labels
from tocsin.version import __version__

app = typer.Typer(
    name="tocsin",
    help="Watch machines, keep their metrics, and wake the right person when something is wrong.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
rules_app = typer.Typer(help="What is watched, and when it is wrong.", no_args_is_help=True)
alerts_app = typer.Typer(help="What is wrong now.", no_args_is_help=True)
retention_app = typer.Typer(help="How long series are kept.", no_args_is_help=True)
user_app = typer.Typer(help="People who may sign in.", no_args_is_help=True)
token_app = typer.Typer(help="Keys for programs.", no_args_is_help=True)
series_app = typer.Typer(help="Which series there are, and what there are many of.", no_args_is_help=True)
app.add_typer(series_app, name="series")
app.add_typer(rules_app, name="rules")
app.add_typer(alerts_app, name="alerts")
app.add_typer(retention_app, name="retention")
app.add_typer(user_app, name="user")
app.add_typer(token_app, name="token")
key_app = typer.Typer(help="What the data directory is encrypted with.", no_args_is_help=True)
app.add_typer(key_app, name="key")

Config = Annotated[Path | None, typer.Option("--config", envvar="TOCSIN_CONFIG", help="The TOML file of settings.")]
DataDir = Annotated[
    Path, typer.Option("--data-dir", envvar="TOCSIN_DATA_DIR", help="Where everything is kept.", show_default=True)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

FixedLabels = Annotated[
    list[str] | None, typer.Option("--label", "-l", help="NAME=VALUE, put on all that it writes; may be repeated.")
]

T = TypeVar("T")

NOTHING_LOST = "This deletes nothing."
DEFAULT_DATA_DIR = Path("data")
WRONG_SHOWN = 5
out = Console(highlight=False, soft_wrap=True)


def main() -> NoReturn:
    """The entry point of the console script."""
    try:
        app(prog_name="tocsin")
    except TocsinError as error:
        print(f"tocsin: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


@app.command()
def serve(
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT to listen on.")] = None,
) -> None:
    """Run the server until it is told to stop (Ctrl-C or SIGTERM)."""
    from tocsin.app.serve import serve as run

    run(config, data_dir, listen)


@app.command("check-config")
def check_config(config: Config = None, as_json: AsJson = False) -> None:
    """Check the settings, and the scrape file where one is named; print what differs from the defaults."""
    from tocsin.app.config import Settings, load_settings, walk
    from tocsin.app.scraping import check_scraping

    settings = load_settings(config, os.environ)
    scraped = check_scraping(settings)
    for section in scraped.passed_over:
        print(f"{settings.scrape.config_file}: {section} is not about scraping and is passed over.", file=sys.stderr)
    defaults = {(section, key): value for section, key, value, _ in walk(Settings())}
    changed = [
        {"setting": f"{section}.{key}", "value": "•••" if meta.get("secret") and value else _plain(value)}
        for section, key, value, meta in walk(settings)
        if value != defaults[section, key]
    ]
    if as_json:
        _print_json({"items": changed, "next": None})
    elif changed:
        _print_table(changed, ["setting", "value"])
    else:
        print("All settings are at their defaults.")


@app.command()
def store(
    name: Annotated[str, typer.Argument(help="The metric's name, such as queue.length.")],
    value: Annotated[float, typer.Argument(help="The value.")],
    tag: Annotated[list[str] | None, typer.Option("--tag", "-t", help="NAME=VALUE; may be repeated.")] = None,
    timestamp: Annotated[str | None, typer.Option(help="RFC 3339 or epoch seconds; now unless given.")] = None,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Store one sample."""
    sample: dict[str, Any] = {"name": name, "value": value, "tags": _labels(tag)}
    if timestamp is not None:
        sample["timestamp"] = float(timestamp) if _is_number(timestamp) else timestamp
    _call(config, data_dir, "POST", "/api/metrics", json=sample)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="The file, also packed with gzip; - reads standard input.")],
    form: Annotated[
        str | None, typer.Option("--format", help="json (a line each), csv or text; told by the name unless given.")
    ] = None,
    columns: Annotated[
        str, typer.Option(help="What the columns of a CSV file are, such as 1:label:host,2:metric:cpu,3:time:unix_s.")
    ] = "",
    delimiter: Annotated[str, typer.Option(help="Of a CSV file.")] = ",",
    skip_header: Annotated[
        bool, typer.Option("--skip-header", help="With --columns: pass over the first row.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Store the samples of a file. What is refused is counted, and the rest is stored."""
    from tocsin.app.importing import Asked, form_of, import_with_bar

    path = None if str(file) == "-" else file
    if delimiter == ",":
        delimiter = "\t" if path is not None and ".tsv" in path.suffixes else delimiter
    asked = Asked(path, form_of(path, form), columns, delimiter, skip_header)
    report = _run(import_with_bar(config, data_dir, asked))
    if as_json:
        _print_json(report)
    else:
        print(f"{report.stored} samples stored, {report.refused} refused, in {report.lines} lines.")
        for line, reason in report.examples:
            print(f"  line {line}: {reason}")
    if report.refused:
        raise typer.Exit(1)


@app.command()
def trend(
    name: Annotated[str, typer.Argument(help="The metric's name.")],
    hours: Annotated[float, typer.Option(help="How far to look back.")] = 24.0,
    match: Annotated[
        list[str] | None, typer.Option("--match", "-m", help='Such as mount="/"; may be repeated.')
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say where a metric is going."""
    answer = _call(config, data_dir, "GET", f"/api/trends/{name}", params={"hours": hours, "match": match or []})
    if as_json:
        _print_json(answer)
    elif answer["trend"] == "no_data":
        print(f"{name} has no samples in the last {hours:g} hours.")
    else:
        print(f"{name} is {answer['trend']}: avg {answer['avg']:.6g}, min {answer['min']:.6g}, max {answer['max']:.6g}")


Metric = Annotated[str | None, typer.Argument(help="The metric's name; all unless given.")]
Matching = Annotated[list[str] | None, typer.Option("--match", "-m", help='Such as mount="/"; may be repeated.')]
Since = Annotated[str | None, typer.Option(help="Only series that may have samples since then: RFC 3339 or seconds.")]
Until = Annotated[str | None, typer.Option(help="Only series that may have samples until then.")]


@series_app.command("list")
def series_list(
    name: Metric = None,
    match: Matching = None,
    start: Since = None,
    end: Until = None,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List the series that fit."""
    series = _all_pages(config, data_dir, "/api/series", _listing(name, match, start, end))
    if as_json:
        _print_json({"items": series, "next": None})
        return
    for one in series:
        print(Labels.metric(one["name"], one["labels"]))


@series_app.command("labels")
def series_labels(
    label: Annotated[str | None, typer.Argument(help="List this label's values instead.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="The metric's name; all unless given.")] = None,
    match: Matching = None,
    start: Since = None,
    end: Until = None,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List the names of labels, or the values of one."""
    path = "/api/labels" if label is None else f"/api/labels/{quote(label, safe='/')}/values"
    texts = _all_pages(config, data_dir, path, _listing(name, match, start, end))
    if as_json:
        _print_json({"items": texts, "next": None})
        return
    for text in texts:
        print(text)


@series_app.command("delete")
def series_delete(
    selector: Annotated[list[str], typer.Argument(metavar="SELECTOR…", help='Such as {user="42"}; any may fit.')],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Delete series for good, with all their samples and roll-ups, until their bytes are off the disk."""
    asked = {"match": selector}
    found = _call(config, data_dir, "POST", "/api/series/delete/preview", json=asked)
    if not found["series"]:
        raise UserError("No series fits; nothing was deleted.")
    _confirm_loss(found, yes=yes)
    wait_s = 1_800.0
    body = {**asked, "series": found["series"]}
    deleted = _call(config, data_dir, "POST", "/api/series/delete", json=body, timeout=wait_s)
    if as_json:
        _print_json(deleted)
    else:
        print(f"Deleted {deleted['series']} series.", file=sys.stderr)


@series_app.command("stats")
def series_stats(
    limit: Annotated[int, typer.Option(help="How many of each kind.")] = 10,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say how near the limits are, and what has the most series and values."""
    told = _call(config, data_dir, "GET", "/api/series/stats", params={"limit": limit})
    if as_json:
        _print_json(told)
        return
    print(
        f"{told['series']} series of {told['series_max']} that there may be, {told['label_pairs']} labels with values."
    )
    if told["metric_series_max"]:
        print(f"Each metric may have {told['metric_series_max']}.")
    print()
    _print_table([{"metric": one["name"], "series": one["series"]} for one in told["metrics"]], ["metric", "series"])
    print()
    _print_table([{"label": one["name"], "values": one["values"]} for one in told["labels"]], ["label", "values"])
    print()
    pairs = [{"label and value": f"{one['name']}={one['value']}", "series": one["series"]} for one in told["pairs"]]
    _print_table(pairs, ["label and value", "series"])


def _listing(name: str | None, match: list[str] | None, start: str | None, end: str | None) -> dict[str, Any]:
    asked = {"name": name, "match": match, "start": start, "end": end}
    return {key: value for key, value in asked.items() if value is not None}


@rules_app.command("list")
def rules_list(as_json: AsJson = False, config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the rules."""
    rules = _all_pages(config, data_dir, "/api/rules")
    if as_json:
        _print_json({"items": rules, "next": None})
    else:
        _print_table(rules, ["id", "name", "expr", "duration", "severity", "enabled", "state"])


RuleFiles = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Files in Prometheus' format.")]


@rules_app.command("check")
def rules_check(files: RuleFiles, as_json: AsJson = False) -> None:
    """Check rule files: every problem is told with its line and column. Needs no server."""
    from tocsin.app.rule_files import check_files

    checked = check_files(files)
    if as_json:
        _print_json({"items": checked, "next": None})
    for one in checked if not as_json else ():
        print(f"Checking {one.file}")
        for problem in one.problems:
            print(f"  {problem}")
        print(f"  FAILED: {len(one.problems)} problems" if one.problems else f"  SUCCESS: {one.rules} rules found")
    if any(one.problems for one in checked):
        raise typer.Exit(1)


@rules_app.command("test")
def rules_test(
    files: RuleFiles,
    run: Annotated[str, typer.Option(help="Only tests whose name this regular expression finds.")] = "",
    as_json: AsJson = False,
) -> None:
    """Run the unit tests of rules, in Prometheus' format of test files. Needs no server."""
    from tocsin.app.rule_files import failure_lines, run_tests

    tested = run_tests(files, run)
    if as_json:
        _print_json({"items": [{"passed": each.passed, **asdict(each)} for each in tested], "next": None})
    for file in dict.fromkeys(map(str, files)) if not as_json else ():
        print(f"Unit testing {file}")
        wrong = [each for each in tested if each.file == file and not each.passed]
        for each in wrong:
            print(f"  FAILED: {each.name}" if each.name else "  FAILED")
            for line in (*map(str, each.problems), *(line for one in each.failures for line in failure_lines(one))):
                print(f"    {line}")
        if not wrong:
            print(f"  SUCCESS: {sum(each.file == file for each in tested)} tests")
    if not all(each.passed for each in tested):
        raise typer.Exit(1)


@alerts_app.command("list")
def alerts_list(
    state: Annotated[list[str] | None, typer.Option(help="pending, firing or resolved; may be repeated.")] = None,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List alerts, those that are open unless told otherwise."""
    alerts = _all_pages(config, data_dir, "/api/alerts", {"state": state} if state else {})
    if as_json:
        _print_json({"items": alerts, "next": None})
    elif not alerts:
        print("Nothing is wrong.")
    else:
        for alert in alerts:
            alert["series"] = " ".join(f"{name}={text}" for name, text in alert["labels"].items() if name != "__name__")
        _print_table(
            alerts, ["id", "severity", "state", "rule_name", "value", "started_at", "acknowledged_by", "series"]
        )


@alerts_app.command("ack")
def alerts_ack(
    alert_id: Annotated[int, typer.Argument(help="The alert's id, from `tocsin alerts list`.")],
    comment: Annotated[str, typer.Option("--comment", "-c", help="What the others should know.")] = "",
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Acknowledge a firing alert: you have seen it, and it is not announced again."""
    alert = _call(config, data_dir, "POST", f"/api/alerts/{alert_id}/acknowledge", json={"comment": comment})
    print(f"Acknowledged {alert['rule_name']} as {alert['acknowledged_by']}.")


@app.command("targets")
def targets(
    job: Annotated[str | None, typer.Option(help="Of this scrape job alone.")] = None,
    health: Annotated[str | None, typer.Option(help="up, down or unknown.")] = None,
    dropped: Annotated[bool, typer.Option("--dropped", help="What relabelling left out, and why.")] = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List the targets that are scraped, and how they are."""
    asked = {"state": "dropped" if dropped else "active", "job": job, "health": health}
    found = _all_pages(
        config, data_dir, "/api/targets", {name: value for name, value in asked.items() if value is not None}
    )
    if as_json:
        _print_json({"items": found, "next": None})
    elif not found:
        print("There are no such targets.")
    elif dropped:
        rows = [{**one, "address": one["discovered"].get("__address__"), "reason": one["error"]} for one in found]
        _print_table(rows, ["job_name", "address", "reason"])
    else:
        for one in found:
            one["error"] = one["error"] or one["warning"]
        _print_table(found, ["job_name", "url", "health", "samples", "error"])


PolicyName = Annotated[str, typer.Argument(help="The policy's name.")]
Selector = Annotated[str | None, typer.Option("--match", "-m", help='Which series, such as {team="dev"}.')]
RawLength = Annotated[str | None, typer.Option("--raw", help="Samples, such as 2d; `default` for the default's.")]
FiveLength = Annotated[str | None, typer.Option("--five-minutes", help="Roll-ups of 5 minutes, as --raw.")]
HoursLength = Annotated[str | None, typer.Option("--hours", help="Roll-ups of hours, as --raw.")]
Position = Annotated[int | None, typer.Option(help="Where in the list, from 0; the first that fits a series wins.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@retention_app.command("list")
def retention_list(as_json: AsJson = False, config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the policies in their order, and the defaults for all other series."""
    answer = _call(config, data_dir, "GET", "/api/retention", params={"limit": 1_000})
    if as_json:
        _print_json(answer)
        return
    rows = [{**one, "matchers": ", ".join(one["matchers"])} for one in answer["items"]]
    shown = ("raw", "five_minutes", "hours")
    rows = [{**row, **{key: row[key] or f"{answer['defaults'][key]} (default)" for key in shown}} for row in rows]
    others = {"name": "(all others)", "matchers": "", **answer["defaults"]}
    _print_table([*rows, others], ["position", "name", "matchers", *shown])


@retention_app.command("set")
def retention_set(
    name: PolicyName,
    match: Selector = None,
    raw: RawLength = None,
    five_minutes: FiveLength = None,
    hours: HoursLength = None,
    position: Position = None,
    yes: Yes = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make a policy, or change the one of that name. What that deletes is told first, and asked about."""
    wanted = _wanted_policies(config, data_dir, name, match, (raw, five_minutes, hours), position)
    _confirm_loss(_call(config, data_dir, "POST", "/api/retention/preview", json={"items": wanted}), yes=yes)
    _call(config, data_dir, "PUT", "/api/retention", json={"items": wanted})
    print(f"Saved {name}.", file=sys.stderr)


@retention_app.command("preview")
def retention_preview(
    name: PolicyName,
    match: Selector = None,
    raw: RawLength = None,
    five_minutes: FiveLength = None,
    hours: HoursLength = None,
    position: Position = None,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say what `tocsin retention set` with the same options would delete, and change nothing."""
    wanted = _wanted_policies(config, data_dir, name, match, (raw, five_minutes, hours), position)
    loss = _call(config, data_dir, "POST", "/api/retention/preview", json={"items": wanted})
    if as_json:
        _print_json(loss)
    else:
        print(loss["text"])


@retention_app.command("delete")
def retention_delete(
    name: PolicyName, yes: Yes = False, config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """Delete a policy. Its series fall to the policies after it; what that deletes is told first."""
    policies = _sent_policies(config, data_dir)
    left = [one for one in policies if one["name"] != name]
    if len(left) == len(policies):
        raise UserError(f"There is no retention policy {name!r}; `tocsin retention list` shows those that there are.")
    _confirm_loss(_call(config, data_dir, "POST", "/api/retention/preview", json={"items": left}), yes=yes)
    _call(config, data_dir, "PUT", "/api/retention", json={"items": left})
    print(f"Deleted {name}.", file=sys.stderr)


@user_app.command("add")
def user_add(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    role: Annotated[str, typer.Option(help="viewer, operator, editor or admin.")] = "viewer",
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Add a user. The password is asked for, or read from standard input where that is no terminal."""
    from tocsin.app.offline import add_user

    _run(add_user(config, data_dir, name, role, _read_password()))
    print(f"Added {name} as {role}.", file=sys.stderr)


@user_app.command("password")
def user_password(
    name: Annotated[str, typer.Argument(help="Who gets a new password.")],
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Set a user's password, asked for as in `user add`. The user is signed out everywhere."""
    from tocsin.app.offline import set_password

    _run(set_password(config, data_dir, name, _read_password()))
    print(f"Set the password of {name}.", file=sys.stderr)


@token_app.command("create")
def token_create(
    role: Annotated[str, typer.Option(help="writer, viewer, operator, editor or admin.")],
    name: Annotated[str, typer.Option(help="What the token is for.")] = "cli",
    expires_in: Annotated[str | None, typer.Option(help="Such as 30d; never unless given.")] = None,
    label: FixedLabels = None,
    rate: Annotated[int | None, typer.Option(help="Samples a second that it may write.")] = None,
    series_max: Annotated[int | None, typer.Option(help="Series with its labels that it may write.")] = None,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make a token and print it, alone. It is shown this once."""
    from tocsin.app.offline import create_token
    from tocsin.model.people import Allowance

    allowance = Allowance(Labels.of(_labels(label)), rate, series_max)
    print(_run(create_token(config, data_dir, name, role, expires_in, allowance)))


@token_app.command("list")
def token_list(as_json: AsJson = False, config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the tokens, without their secrets."""
    tokens = _all_pages(config, data_dir, "/api/tokens")
    if as_json:
        _print_json({"items": tokens, "next": None})
        return
    for token in tokens:
        token["labels"] = " ".join(f"{name}={text}" for name, text in token["labels"].items())
    _print_table(tokens, ["id", "name", "role", "labels", "rate", "series_max", "last_used_at", "expires_at"])


@token_app.command("limit")
def token_limit(
    token_id: Annotated[int, typer.Argument(help="The token's id, from `tocsin token list`.")],
    label: FixedLabels = None,
    rate: Annotated[int | None, typer.Option(help="Samples a second; 0 lifts the bound.")] = None,
    series_max: Annotated[int | None, typer.Option(help="Series with its labels; 0 lifts the bound.")] = None,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Change what a writer's token is held to. What is not given stays; labels replace all that it had."""
    change: dict[str, Any] = {} if label is None else {"labels": _labels(label)}
    change |= {
        field: number or None for field, number in (("rate", rate), ("series_max", series_max)) if number is not None
    }
    if not change:
        raise UserError("Say what to change: --label, --rate or --series-max.")
    token = _call(config, data_dir, "PATCH", f"/api/tokens/{token_id}", json=change)
    print(f"Changed what {token['name']} is held to.", file=sys.stderr)


@app.command()
def adopt(
    source: Annotated[str, typer.Argument(metavar="URL", help="A SQLite file, sqlite:///FILE or postgresql://….")],
    zone: Annotated[str, typer.Option("--timezone", help="Of times that were written without one.")] = "UTC",
    in_place: Annotated[bool, typer.Option("--in-place", help="Make it tocsin's state database, instead.")] = False,
    older: Annotated[
        str, typer.Option("--older-tables", help="In place: keep, rename or drop them when all is verified.")
    ] = "keep",
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Copy an older database's rules, history and samples, or take it over. May be run again."""
    from tocsin.app.adopt import adopt as run
    from tocsin.app.adopt_in_place import OlderTables, adopt_in_place

    if in_place:
        if older not in list(OlderTables):
            raise UserError(f"--older-tables is {' or '.join(OlderTables)}.")
        with _progress() as bar:
            report = _run(adopt_in_place(config, data_dir, source, zone, OlderTables(older), _watch_ids(bar)))
    else:
        report = _run(run(config, data_dir, source, zone))
    if as_json:
        _print_json(report)
        return
    parts = ("rules", "history", "samples")
    _print_table(
        [
            {
                "what": part,
                "read": getattr(report, f"{part}_read"),
                "stored": getattr(report, "samples_stored" if part == "samples" else f"{part}_added"),
                "skipped": getattr(report, f"{part}_skipped").total(),
            }
            for part in parts
        ],
        ["what", "read", "stored", "skipped"],
    )
    for part in parts:
        for kind, count in getattr(report, f"{part}_skipped").items():
            print(f"{part}: {count} skipped: {kind}")
    for kind, count in report.noted.items():
        print(f"{count} taken over with a change: {kind}")
    for one in report.examples:
        print(f"  {one.table} {one.row}: {one.reason}")
    if in_place:
        if report.verified is not None:
            print(f"{report.verified} samples were looked for in the sample store, and found.")
        for table, fate in report.older_tables.items():
            print(f"The older table {table} was {fate}.")
        print(f"The state is now in {report.source}: set state.url to its URL before you start the server.")
    if report.samples_skipped["past retention"]:
        print(f"Samples are kept {report.retention}; set retention.raw to keep more, and run this again.")


Place = Annotated[str, typer.Argument(metavar="PLACE", help="A folder, or s3://bucket/prefix.")]
Which = Annotated[str | None, typer.Option("--backup", metavar="ID", help="Which one; the newest unless told.")]


@app.command()
def backup(
    place: Annotated[
        str | None, typer.Argument(metavar="[PLACE]", help="A folder, or s3://bucket/prefix; backup.to unless told.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read a backup wholly and compare, instead.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the backups of the place, instead.")] = False,
    which: Which = None,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Back up samples and state as one set, also while the server runs."""
    from tocsin.app.client import back_up

    where = None if place is None else _absolute(place)
    if listing:
        _list_backups(config, where, as_json=as_json)
        return
    if verify:
        _verify(config, where, which, as_json=as_json)
        return
    with _progress() as bar:
        task = bar.add_task("starting", total=None)

        def seen(progress: Mapping[str, Any]) -> None:
            bar.update(task, description=progress["phase"], completed=progress["done"], total=progress["total"])

        made = _run(back_up(config, data_dir, where, seen))
    if as_json:
        _print_json(made)
    if made["state"] != "done":
        raise UserError(f"There is no backup. {made['error']}")
    if not as_json:
        print(
            f"{made['name']}: {made['samples']:,} samples, {made['rows']:,} rows of state; "
            f"{_bytes(made['stored'])}, of which {_bytes(made['written'])} are new. Read back and compared."
        )


@app.command()
def restore(
    place: Place,
    which: Which = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Read it wholly and compare, and restore nothing.")] = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Put a backup back, while no server runs. What is there stays in force until all of it is restored."""
    from tocsin.app.restore import restore as run

    where = _absolute(place)
    if check:
        _verify(config, where, which, as_json=as_json)
        return
    with _progress() as bar:
        facts = _run(run(config, data_dir, where, which, overwrite=overwrite, watch=_watch(bar)))
    if as_json:
        _print_json(facts)
    else:
        print(
            f"Restored {facts.id}: {facts.samples:,} samples of {facts.series:,} series, {facts.rows:,} rows of state."
        )
        print("Messages that were waiting in it are not sent: see the outbox.")


def _verify(config: Path | None, where: str | None, which: str | None, *, as_json: bool) -> None:
    from tocsin.app.restore import verify

    with _progress() as bar:
        facts, wrong = verify(config, where, which, _watch(bar))
    if as_json:
        _print_json({"backup": facts, "wrong": wrong})
    if wrong:
        shown = " ".join(wrong[:WRONG_SHOWN])
        raise UserError(f"The backup {facts.id} is damaged in {len(wrong)} of {facts.chunks} chunks. {shown}")
    if not as_json:
        print(f"{facts.id} is whole: {facts.chunks} chunks, {_bytes(facts.stored)}.")


def _list_backups(config: Path | None, where: str | None, *, as_json: bool) -> None:
    from tocsin.app.restore import list_backups

    found = list_backups(config, where)
    if as_json:
        _print_json({"items": found, "next": None})
    else:
        _print_table(
            [
                {"backup": one.id, "samples": one.samples, "rows": one.rows, "size": _bytes(one.stored)}
                | {"encrypted": one.sealed}
                for one in found
            ],
            ["backup", "samples", "rows", "size", "encrypted"],
        )


def _progress() -> Progress:
    console = Console(stderr=True)
    bar = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*bar, console=console, disable=not console.is_terminal)


def _watch(bar: Progress) -> Callable[[str, int], Callable[[int], None]]:
    def watch(what: str, total: int) -> Callable[[int], None]:
        task = bar.add_task(what, total=max(1, total))
        return lambda count: bar.advance(task, count)

    return watch


def _watch_ids(bar: Progress) -> Callable[[str, int], Callable[[int], None]]:
    def watch(what: str, last: int) -> Callable[[int], None]:
        task = bar.add_task(what, total=max(1, last))
        return lambda row: bar.update(task, completed=row)

    return watch


def _absolute(place: str) -> str:
    """The server may have another working directory."""
    return place if "://" in place else str(Path(place).absolute())


def _bytes(count: int) -> str:
    return filesize.decimal(count)


@app.command()
def encrypt(config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Encrypt what is stored, with the key that is set. The server must be stopped; may be run again."""
    from tocsin.app import encryption
    from tocsin.app.world import real_world

    settings = encryption.load(config)
    with encryption.progress() as seen:
        _run(encryption.encrypt(settings, data_dir, real_world(), seen))
    print(f"{data_dir} is encrypted. Keep the key where no disk or backup of this machine is.")


@app.command()
def decrypt(config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Store everything in plain again. The server must be stopped; may be run again."""
    from tocsin.app import encryption
    from tocsin.app.world import real_world

    settings = encryption.load(config)
    with encryption.progress() as seen:
        _run(encryption.decrypt(settings, data_dir, real_world(), seen))
    print(f"{data_dir} is not encrypted any more. Unset store.encryption_key_file before the next start.")


@key_app.command("new")
def key_new(
    file: Annotated[Path | None, typer.Argument(help="Where to write it; printed unless given.")] = None,
) -> None:
    """Make a key for store.encryption_key_file. Without it nothing can be read any more: keep a copy elsewhere."""
    from tocsin.app.encryption import new_key

    text = new_key(file)
    if file is None:
        print(text)


@key_app.command("status")
def key_status(as_json: AsJson = False, config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Say whether the data directory is encrypted, and with which key. Keys are named by a fingerprint."""
    from tocsin.app import encryption

    status = encryption.status(encryption.load(config), data_dir)
    if as_json:
        _print_json(status)
    elif not status.encrypted:
        print(f"{data_dir} is not encrypted." + (f" Key {status.key_set} is set." if status.key_set else ""))
    else:
        given = "no key is set" if status.key_set is None else f"key {status.key_set} is set"
        print(f"{data_dir} is encrypted with key {status.key}; {given}.")
        if status.unfinished is not None:
            print(f"`{status.unfinished}` has not finished: run it again.")


@key_app.command("rotate")
def key_rotate(
    file: Annotated[Path, typer.Argument(help="The file with the new key, from `tocsin key new`.")],
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="Write all data again, so that the older key opens nothing of it.")
    ] = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Change the key. Takes a moment, also while the server runs; with --rewrite the server must be stopped."""
    from tocsin.app import encryption
    from tocsin.app.world import real_world

    settings, new = encryption.load(config), encryption.read_key(file)
    with encryption.progress() as seen:
        _run(encryption.rotate(settings, data_dir, real_world(), new, rewrite=rewrite, seen=seen))
    print(f"The key is changed. Point store.encryption_key_file at {file} before the next start.")


def _call(config: Path | None, data_dir: Path, method: str, path: str, **more: Any) -> Any:
    from tocsin.app.client import request

    return _run(request(config, data_dir, method, path, **more))


def _all_pages(config: Path | None, data_dir: Path, path: str, params: dict[str, Any] | None = None) -> list[Any]:
    from tocsin.app.client import all_pages

    return _run(all_pages(config, data_dir, path, params or {}))


def _sent_policies(config: Path | None, data_dir: Path) -> list[dict[str, Any]]:
    """The list as it is, in the form in which it is sent."""
    saved = _call(config, data_dir, "GET", "/api/retention", params={"limit": 1_000})["items"]
    keys = ("id", "name", "matchers", "raw", "five_minutes", "hours")
    return [{key: one[key] for key in keys} for one in saved]


def _wanted_policies(
    config: Path | None,
    data_dir: Path,
    name: str,
    match: str | None,
    lengths: tuple[str | None, ...],
    position: int | None,
) -> list[dict[str, Any]]:
    """The list with this policy made or changed."""
    policies = _sent_policies(config, data_dir)
    at = next((at for at, one in enumerate(policies) if one["name"] == name), None)
    policy: dict[str, Any] = {"name": name, "matchers": []} if at is None else policies.pop(at)
    if match is not None:
        policy["matchers"] = [match]
    for key, length in zip(("raw", "five_minutes", "hours"), lengths, strict=True):
        if length is not None:
            policy[key] = None if length == "default" else length
    place = position if position is not None else at if at is not None else len(policies)
    policies.insert(place, policy)
    return policies


def _confirm_loss(loss: dict[str, Any], *, yes: bool) -> None:
    print(loss["text"], file=sys.stderr)
    if yes or loss["text"] == NOTHING_LOST:
        return
    if not sys.stdin.isatty():
        raise UserError("Nothing was changed. Say --yes to delete that.")
    if not typer.confirm("Go on?", err=True):
        raise UserError("Nothing was changed.")


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UserError(f"{text!r} is not a tag; write it like host=web1.")
    return name, value


def _labels(texts: list[str] | None) -> dict[str, str]:
    return dict(_pair(text) for text in texts or [])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Once more: "):
        raise UserError("The two passwords differ.")
    return password


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value if isinstance(value, bool | int | float) else str(value)


def _print_json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _print_table(rows: list[dict[str, Any]], columns: list[str]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    out.print(table)


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case _:
            return str(value)
