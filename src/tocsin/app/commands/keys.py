"""Encryption of what is stored, and its key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tocsin.app.commands.asking import finish
from tocsin.app.commands.options import DEFAULT_DATA_DIR, AsJson, Config, DataDir
from tocsin.app.commands.printing import print_json

app = typer.Typer(help="What the data directory is encrypted with.", no_args_is_help=True)


def encrypt(config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Encrypt what is stored, with the key that is set. The server must be stopped; may be run again."""
    from tocsin.app import encryption
    from tocsin.app.world import real_world

    settings = encryption.load(config)
    with encryption.progress() as seen:
        finish(encryption.encrypt(settings, data_dir, real_world(), seen))
    print(f"{data_dir} is encrypted. Keep the key where no disk or backup of this machine is.")


def decrypt(config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Store everything in plain again. The server must be stopped; may be run again."""
    from tocsin.app import encryption
    from tocsin.app.world import real_world

    settings = encryption.load(config)
    with encryption.progress() as seen:
        finish(encryption.decrypt(settings, data_dir, real_world(), seen))
    print(f"{data_dir} is not encrypted any more. Unset store.encryption_key_file before the next start.")


@app.command("new")
def key_new(
    file: Annotated[Path | None, typer.Argument(help="Where to write it; printed unless given.")] = None,
) -> None:
    """Make a key for store.encryption_key_file. Without it nothing can be read any more: keep a copy elsewhere."""
    from tocsin.app.encryption import new_key

    text = new_key(file)
    if file is None:
        print(text)


@app.command("status")
def key_status(as_json: AsJson = False, config: Config = None, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Say whether the data directory is encrypted, and with which key. Keys are named by a fingerprint."""
    from tocsin.app import encryption

    status = encryption.status(encryption.load(config), data_dir)
    if as_json:
        print_json(status)
    elif not status.encrypted:
        print(f"{data_dir} is not encrypted." + (f" Key {status.key_set} is set." if status.key_set else ""))
    else:
        given = "no key is set" if status.key_set is None else f"key {status.key_set} is set"
        print(f"{data_dir} is encrypted with key {status.key}; {given}.")
        if status.unfinished is not None:
            print(f"`{status.unfinished}` has not finished: run it again.")


@app.command("rotate")
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
        finish(encryption.rotate(settings, data_dir, real_world(), new, rewrite=rewrite, seen=seen))
    print(f"The key is changed. Point store.encryption_key_file at {file} before the next start.")
