"""The options that many commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tocsin.model.errors import UserError

Config = Annotated[Path | None, typer.Option("--config", envvar="TOCSIN_CONFIG", help="The TOML file of settings.")]
DataDir = Annotated[
    Path, typer.Option("--data-dir", envvar="TOCSIN_DATA_DIR", help="Where everything is kept.", show_default=True)
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DEFAULT_DATA_DIR = Path("data")

Matching = Annotated[list[str] | None, typer.Option("--match", "-m", help='Such as mount="/"; may be repeated.')]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UserError(f"{text!r} is not a tag; write it like host=web1.")
    return name, value


def labels_of(texts: list[str] | None) -> dict[str, str]:
    return dict(_pair(text) for text in texts or [])
