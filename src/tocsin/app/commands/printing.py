"""How answers look: JSON for programs, tables for people, a bar on standard error while something lasts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tocsin.app.charting import visible

out = Console(highlight=False, soft_wrap=True)


def progress_bar() -> Progress:
    console = Console(stderr=True)
    bar = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*bar, console=console, disable=not console.is_terminal)


def print_json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(rows: list[dict[str, Any]], columns: list[str], *, whole: Collection[str] = ()) -> None:
    """`whole` are columns that are never folded, where the terminal is narrow."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column in whole)
    for row in rows:
        table.add_row(
            *(Text(visible(_cell(row.get(column)))) for column in columns)
        )  # no markup: labels may hold brackets
    out.print(table)


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case _:
            return str(value)
