"""Backups made, listed, checked and put back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import filesize
from rich.progress import Progress

from tocsin.app.commands.asking import finish
from tocsin.app.commands.options import DEFAULT_DATA_DIR, AsJson, Config, DataDir
from tocsin.app.commands.printing import print_json, print_table, progress_bar
from tocsin.model.errors import UserError

WRONG_SHOWN = 5

Place = Annotated[str, typer.Argument(metavar="PLACE", help="A folder, or s3://bucket/prefix.")]
Which = Annotated[str | None, typer.Option("--backup", metavar="ID", help="Which one; the newest unless told.")]


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
    with progress_bar() as bar:
        task = bar.add_task("starting", total=None)

        def seen(progress: Mapping[str, Any]) -> None:
            bar.update(task, description=progress["phase"], completed=progress["done"], total=progress["total"])

        made = finish(back_up(config, data_dir, where, seen))
    if as_json:
        print_json(made)
    if made["state"] != "done":
        raise UserError(f"There is no backup. {made['error']}")
    if not as_json:
        print(
            f"{made['name']}: {made['samples']:,} samples, {made['rows']:,} rows of state; "
            f"{_bytes(made['stored'])}, of which {_bytes(made['written'])} are new. Read back and compared."
        )


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
    with progress_bar() as bar:
        facts = finish(run(config, data_dir, where, which, overwrite=overwrite, watch=_watch(bar)))
    if as_json:
        print_json(facts)
    else:
        print(
            f"Restored {facts.id}: {facts.samples:,} samples of {facts.series:,} series, {facts.rows:,} rows of state."
        )
        print("Messages that were waiting in it are not sent: see the outbox.")


def _verify(config: Path | None, where: str | None, which: str | None, *, as_json: bool) -> None:
    from tocsin.app.restore import verify

    with progress_bar() as bar:
        facts, wrong = verify(config, where, which, _watch(bar))
    if as_json:
        print_json({"backup": facts, "wrong": wrong})
    if wrong:
        shown = " ".join(wrong[:WRONG_SHOWN])
        raise UserError(f"The backup {facts.id} is damaged in {len(wrong)} of {facts.chunks} chunks. {shown}")
    if not as_json:
        print(f"{facts.id} is whole: {facts.chunks} chunks, {_bytes(facts.stored)}.")


def _list_backups(config: Path | None, where: str | None, *, as_json: bool) -> None:
    from tocsin.app.restore import list_backups

    found = list_backups(config, where)
    if as_json:
        print_json({"items": found, "next": None})
    else:
        print_table(
            [
                {"backup": one.id, "samples": one.samples, "rows": one.rows, "size": _bytes(one.stored)}
                | {"encrypted": one.sealed}
                for one in found
            ],
            ["backup", "samples", "rows", "size", "encrypted"],
        )


def _watch(bar: Progress) -> Callable[[str, int], Callable[[int], None]]:
    def watch(what: str, total: int) -> Callable[[int], None]:
        task = bar.add_task(what, total=max(1, total))
        return lambda count: bar.advance(task, count)

    return watch


def _absolute(place: str) -> str:
    """The server may have another working directory."""
    return place if "://" in place else str(Path(place).absolute())


def _bytes(count: int) -> str:
    return filesize.decimal(count)
