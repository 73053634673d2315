"""Which series there are."""

from __future__ import annotations

import sys
from typing import Annotated, Any
from urllib.parse import quote

import typer

from tocsin.app.commands.asking import all_items, call, confirm_loss
from tocsin.app.commands.options import DEFAULT_DATA_DIR, AsJson, Config, DataDir, Matching
from tocsin.app.commands.printing import print_json, print_table
from tocsin.model.errors import UserError
from tocsin.model.labels import Labels

app = typer.Typer(help="Which series there are, and what there are many of.", no_args_is_help=True)

Metric = Annotated[str | None, typer.Argument(help="The metric's name; all unless given.")]
Since = Annotated[str | None, typer.Option(help="Only series that may have samples since then: RFC 3339 or seconds.")]
Until = Annotated[str | None, typer.Option(help="Only series that may have samples until then.")]


@app.command("list")
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
    series = all_items(config, data_dir, "/api/series", _listing(name, match, start, end))
    if as_json:
        print_json({"items": series, "next": None})
        return
    for one in series:
        print(Labels.metric(one["name"], one["labels"]))


@app.command("labels")
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
    texts = all_items(config, data_dir, path, _listing(name, match, start, end))
    if as_json:
        print_json({"items": texts, "next": None})
        return
    for text in texts:
        print(text)


@app.command("delete")
def series_delete(
    selector: Annotated[list[str], typer.Argument(metavar="SELECTOR…", help='Such as {user="42"}; any may fit.')],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Delete series for good, with all their samples and roll-ups, until their bytes are off the disk."""
    asked = {"match": selector}
    found = call(config, data_dir, "POST", "/api/series/delete/preview", json=asked)
    if not found["series"]:
        raise UserError("No series fits; nothing was deleted.")
    confirm_loss(found, yes=yes)
    wait_s = 1_800.0
    body = {**asked, "series": found["series"]}
    deleted = call(config, data_dir, "POST", "/api/series/delete", json=body, timeout=wait_s)
    if as_json:
        print_json(deleted)
    else:
        print(f"Deleted {deleted['series']} series.", file=sys.stderr)


@app.command("stats")
def series_stats(
    limit: Annotated[int, typer.Option(help="How many of each kind.")] = 10,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say how near the limits are, and what has the most series and values."""
    told = call(config, data_dir, "GET", "/api/series/stats", params={"limit": limit})
    if as_json:
        print_json(told)
        return
    print(
        f"{told['series']} series of {told['series_max']} that there may be, {told['label_pairs']} labels with values."
    )
    if told["metric_series_max"]:
        print(f"Each metric may have {told['metric_series_max']}.")
    print()
    print_table([{"metric": one["name"], "series": one["series"]} for one in told["metrics"]], ["metric", "series"])
    print()
    print_table([{"label": one["name"], "values": one["values"]} for one in told["labels"]], ["label", "values"])
    print()
    pairs = [{"label and value": f"{one['name']}={one['value']}", "series": one["series"]} for one in told["pairs"]]
    print_table(pairs, ["label and value", "series"])


def _listing(name: str | None, match: list[str] | None, start: str | None, end: str | None) -> dict[str, Any]:
    asked = {"name": name, "match": match, "start": start, "end": end}
    return {key: value for key, value in asked.items() if value is not None}
