"""Alerts."""

from __future__ import annotations

from typing import Annotated

import typer

from tocsin.app.commands.asking import all_items, call
from tocsin.app.commands.options import DEFAULT_DATA_DIR, AsJson, Config, DataDir
from tocsin.app.commands.printing import print_json, print_table

app = typer.Typer(help="What is wrong now.", no_args_is_help=True)


@app.command("list")
def alerts_list(
    state: Annotated[list[str] | None, typer.Option(help="pending, firing or resolved; may be repeated.")] = None,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List alerts, those that are open unless told otherwise."""
    alerts = all_items(config, data_dir, "/api/alerts", {"state": state} if state else {})
    if as_json:
        print_json({"items": alerts, "next": None})
    elif not alerts:
        print("Nothing is wrong.")
    else:
        for alert in alerts:
            alert["series"] = " ".join(f"{name}={text}" for name, text in alert["labels"].items() if name != "__name__")
        print_table(
            alerts, ["id", "severity", "state", "rule_name", "value", "started_at", "acknowledged_by", "series"]
        )


@app.command("ack")
def alerts_ack(
    alert_id: Annotated[int, typer.Argument(help="The alert's id, from `tocsin alerts list`.")],
    comment: Annotated[str, typer.Option("--comment", "-c", help="What the others should know.")] = "",
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Acknowledge a firing alert: you have seen it, and it is not announced again."""
    alert = call(config, data_dir, "POST", f"/api/alerts/{alert_id}/acknowledge", json={"comment": comment})
    print(f"Acknowledged {alert['rule_name']} as {alert['acknowledged_by']}.")
