"""Taking over an older database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer
from rich.progress import Progress

from tocsin.app.commands.asking import finish
from tocsin.app.commands.options import DEFAULT_DATA_DIR, AsJson, Config, DataDir
from tocsin.app.commands.printing import print_json, print_table, progress_bar
from tocsin.model.errors import UserError


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
        with progress_bar() as bar:
            report = finish(adopt_in_place(config, data_dir, source, zone, OlderTables(older), _watch_ids(bar)))
    else:
        report = finish(run(config, data_dir, source, zone))
    if as_json:
        print_json(report)
        return
    parts = ("rules", "history", "samples")
    print_table(
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


def _watch_ids(bar: Progress) -> Callable[[str, int], Callable[[int], None]]:
    def watch(what: str, last: int) -> Callable[[int], None]:
        task = bar.add_task(what, total=max(1, last))
        return lambda row: bar.update(task, completed=row)

    return watch
