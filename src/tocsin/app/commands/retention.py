"""Retention policies."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.app.commands.asking import call, confirm_loss
from tocsin.app.commands.options import DEFAULT_DATA_DIR, AsJson, Config, DataDir, Yes
from tocsin.app.commands.printing import print_json, print_table
from tocsin.model.errors import UserError

app = typer.Typer(help="How long series are kept.", no_args_is_help=True)

PolicyName = Annotated[str, typer.Argument(help="The policy's name.")]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a policy shall be. A length that is None stays as it is."""

    name: PolicyName
    match: Annotated[str | None, typer.Option("--match", "-m", help='Which series, such as {team="dev"}.')] = None
    raw: Annotated[str | None, typer.Option("--raw", help="Samples, such as 2d; `default` for the default's.")] = None
    five_minutes: Annotated[str | None, typer.Option("--five-minutes", help="Roll-ups of 5 minutes, as --raw.")] = None
    hours: Annotated[str | None, typer.Option("--hours", help="Roll-ups of hours, as --raw.")] = None
    position: Annotated[
        int | None, typer.Option(help="Where in the list, from 0; the first that fits a series wins.")
    ] = None


def _told_of_a_policy(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each field of Wanted before its own, as Typer reads them off a signature."""
    fields = list(signature(Wanted, eval_str=True).parameters.values())
    others = list(signature(command, eval_str=True).parameters.values())[1:]

    @wraps(command)
    def told(**options: Any) -> None:
        wanted = Wanted(**{field.name: options.pop(field.name) for field in fields})
        command(wanted, **options)

    told.__signature__ = Signature([*fields, *others])  # type: ignore[attr-defined]
    told.__annotations__ = {each.name: each.annotation for each in (*fields, *others)}
    return told


@app.command("list")
def retention_list(as_json: AsJson = False, config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the policies in their order, and the defaults for all other series."""
    answer = call(config, data_dir, "GET", "/api/retention", params={"limit": 1_000})
    if as_json:
        print_json(answer)
        return
    rows = [{**one, "matchers": ", ".join(one["matchers"])} for one in answer["items"]]
    shown = ("raw", "five_minutes", "hours")
    rows = [{**row, **{key: row[key] or f"{answer['defaults'][key]} (default)" for key in shown}} for row in rows]
    others = {"name": "(all others)", "matchers": "", **answer["defaults"]}
    print_table([*rows, others], ["position", "name", "matchers", *shown])


@app.command("set")
@_told_of_a_policy
def retention_set(
    policy: Wanted,
    yes: Yes = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make a policy, or change the one of that name. What that deletes is told first, and asked about."""
    wanted = _wanted_policies(config, data_dir, policy)
    confirm_loss(call(config, data_dir, "POST", "/api/retention/preview", json={"items": wanted}), yes=yes)
    call(config, data_dir, "PUT", "/api/retention", json={"items": wanted})
    print(f"Saved {policy.name}.", file=sys.stderr)


@app.command("preview")
@_told_of_a_policy
def retention_preview(
    policy: Wanted,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say what `tocsin retention set` with the same options would delete, and change nothing."""
    wanted = _wanted_policies(config, data_dir, policy)
    loss = call(config, data_dir, "POST", "/api/retention/preview", json={"items": wanted})
    if as_json:
        print_json(loss)
    else:
        print(loss["text"])


@app.command("delete")
def retention_delete(
    name: PolicyName, yes: Yes = False, config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """Delete a policy. Its series fall to the policies after it; what that deletes is told first."""
    policies = _sent_policies(config, data_dir)
    left = [one for one in policies if one["name"] != name]
    if len(left) == len(policies):
        raise UserError(f"There is no retention policy {name!r}; `tocsin retention list` shows those that there are.")
    confirm_loss(call(config, data_dir, "POST", "/api/retention/preview", json={"items": left}), yes=yes)
    call(config, data_dir, "PUT", "/api/retention", json={"items": left})
    print(f"Deleted {name}.", file=sys.stderr)


def _sent_policies(config: Path | None, data_dir: Path) -> list[dict[str, Any]]:
    """The list as it is, in the form in which it is sent."""
    saved = call(config, data_dir, "GET", "/api/retention", params={"limit": 1_000})["items"]
    keys = ("id", "name", "matchers", "raw", "five_minutes", "hours")
    return [{key: one[key] for key in keys} for one in saved]


def _wanted_policies(config: Path | None, data_dir: Path, wanted: Wanted) -> list[dict[str, Any]]:
    """The list with this policy made or changed."""
    policies = _sent_policies(config, data_dir)
    at = next((at for at, one in enumerate(policies) if one["name"] == wanted.name), None)
    policy: dict[str, Any] = {"name": wanted.name, "matchers": []} if at is None else policies.pop(at)
    if wanted.match is not None:
        policy["matchers"] = [wanted.match]
    for key, length in (("raw", wanted.raw), ("five_minutes", wanted.five_minutes), ("hours", wanted.hours)):
        if length is not None:
            policy[key] = None if length == "default" else length
    place = wanted.position if wanted.position is not None else at if at is not None else len(policies)
    policies.insert(place, policy)
    return policies
