"""How commands ask the server, and people."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import typer

from tocsin.model.errors import UserError

T = TypeVar("T")

NOTHING_LOST = "This deletes nothing."


def call(config: Path | None, data_dir: Path, method: str, path: str, **more: Any) -> Any:
    from tocsin.app.client import request

    return finish(request(config, data_dir, method, path, **more))


def all_items(config: Path | None, data_dir: Path, path: str, params: dict[str, Any] | None = None) -> list[Any]:
    from tocsin.app.client import all_pages

    return finish(all_pages(config, data_dir, path, params or {}))


def confirm_loss(loss: dict[str, Any], *, yes: bool) -> None:
    print(loss["text"], file=sys.stderr)
    if yes or loss["text"] == NOTHING_LOST:
        return
    if not sys.stdin.isatty():
        raise UserError("Nothing was changed. Say --yes to delete that.")
    if not typer.confirm("Go on?", err=True):
        raise UserError("Nothing was changed.")


def finish(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)
