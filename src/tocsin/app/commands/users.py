"""People who may sign in."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from tocsin.app.commands.asking import finish
from tocsin.app.commands.options import DEFAULT_DATA_DIR, Config, DataDir
from tocsin.model.errors import UserError

app = typer.Typer(help="People who may sign in.", no_args_is_help=True)


@app.command("add")
def user_add(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    role: Annotated[str, typer.Option(help="viewer, operator, editor or admin.")] = "viewer",
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Add a user. The password is asked for, or read from standard input where that is no terminal."""
    from tocsin.app.offline import add_user

    finish(add_user(config, data_dir, name, role, _read_password()))
    print(f"Added {name} as {role}.", file=sys.stderr)


@app.command("password")
def user_password(
    name: Annotated[str, typer.Argument(help="Who gets a new password.")],
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Set a user's password, asked for as in `user add`. The user is signed out everywhere."""
    from tocsin.app.offline import set_password

    finish(set_password(config, data_dir, name, _read_password()))
    print(f"Set the password of {name}.", file=sys.stderr)


def _read_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Once more: "):
        raise UserError("The two passwords differ.")
    return password
