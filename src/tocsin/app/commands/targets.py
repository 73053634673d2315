"""What is scraped."""

from __future__ import annotations

from typing import Annotated

import typer

from tocsin.app.commands.asking import all_items
from tocsin.app.commands.options import DEFAULT_DATA_DIR, AsJson, Config, DataDir
from tocsin.app.commands.printing import print_json, print_table


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
    found = all_items(
        config, data_dir, "/api/targets", {name: value for name, value in asked.items() if value is not None}
    )
    if as_json:
        print_json({"items": found, "next": None})
    elif not found:
        print("There are no such targets.")
    elif dropped:
        rows = [{**one, "address": one["discovered"].get("__address__"), "reason": one["error"]} for one in found]
        print_table(rows, ["job_name", "address", "reason"])
    else:
        for one in found:
            one["error"] = one["error"] or one["warning"]
        print_table(found, ["job_name", "url", "health", "samples", "error"])
