"""Keys for programs."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from tocsin.app.commands.asking import all_items, call, finish
from tocsin.app.commands.options import DEFAULT_DATA_DIR, AsJson, Config, DataDir, labels_of
from tocsin.app.commands.printing import print_json, print_table
from tocsin.model.errors import UserError
from tocsin.model.labels import Labels

app = typer.Typer(help="Keys for programs.", no_args_is_help=True)

FixedLabels = Annotated[
    list[str] | None, typer.Option("--label", "-l", help="NAME=VALUE, put on all that it writes; may be repeated.")
]

ReadMatchers = Annotated[
    list[str] | None,
    typer.Option("--read", help='A matcher such as team="web", which all that it sees must fit; may be repeated.'),
]


@app.command("create")
def token_create(
    role: Annotated[str, typer.Option(help="writer, viewer, operator, editor or admin.")],
    name: Annotated[str, typer.Option(help="What the token is for.")] = "cli",
    expires_in: Annotated[str | None, typer.Option(help="Such as 30d; never unless given.")] = None,
    label: FixedLabels = None,
    rate: Annotated[int | None, typer.Option(help="Samples a second that it may write.")] = None,
    series_max: Annotated[int | None, typer.Option(help="Series with its labels that it may write.")] = None,
    read: ReadMatchers = None,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make a token and print it, alone. It is shown this once."""
    from tocsin.app.offline import create_token
    from tocsin.model.matcher import parse_matcher
    from tocsin.model.people import Allowance

    allowance = Allowance(Labels.of(labels_of(label)), rate, series_max, tuple(map(parse_matcher, read or ())))
    print(finish(create_token(config, data_dir, name, role, expires_in, allowance)))


@app.command("list")
def token_list(as_json: AsJson = False, config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the tokens, without their secrets."""
    tokens = all_items(config, data_dir, "/api/tokens")
    if as_json:
        print_json({"items": tokens, "next": None})
        return
    for token in tokens:
        token["labels"] = " ".join(f"{name}={text}" for name, text in token["labels"].items())
        token["reads"] = ", ".join(token["reads"])
    print_table(tokens, ["id", "name", "role", "labels", "rate", "series_max", "reads", "last_used_at", "expires_at"])


@app.command("limit")
def token_limit(
    token_id: Annotated[int, typer.Argument(help="The token's id, from `tocsin token list`.")],
    label: FixedLabels = None,
    rate: Annotated[int | None, typer.Option(help="Samples a second; 0 lifts the bound.")] = None,
    series_max: Annotated[int | None, typer.Option(help="Series with its labels; 0 lifts the bound.")] = None,
    read: ReadMatchers = None,
    read_all: Annotated[bool, typer.Option("--read-all", help="It sees every series again.")] = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Change what a token is held to. What is not given stays; labels and matchers replace all that it had."""
    change: dict[str, Any] = {} if label is None else {"labels": labels_of(label)}
    change |= {
        field: number or None for field, number in (("rate", rate), ("series_max", series_max)) if number is not None
    }
    if read is not None or read_all:
        change["reads"] = read or []
    if not change:
        raise UserError("Say what to change: --label, --rate, --series-max, --read or --read-all.")
    token = call(config, data_dir, "PATCH", f"/api/tokens/{token_id}", json=change)
    print(f"Changed what {token['name']} is held to.", file=sys.stderr)
