"""Samples in, and where they are going."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.app.commands.asking import call, finish
from tocsin.app.commands.options import DEFAULT_DATA_DIR, AsJson, Config, DataDir, labels_of
from tocsin.app.commands.printing import print_json


def store(
    name: Annotated[str, typer.Argument(help="The metric's name, such as queue.length.")],
    value: Annotated[float, typer.Argument(help="The value.")],
    tag: Annotated[list[str] | None, typer.Option("--tag", "-t", help="NAME=VALUE; may be repeated.")] = None,
    timestamp: Annotated[str | None, typer.Option(help="RFC 3339 or epoch seconds; now unless given.")] = None,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Store one sample."""
    sample: dict[str, Any] = {"name": name, "value": value, "tags": labels_of(tag)}
    if timestamp is not None:
        sample["timestamp"] = float(timestamp) if _is_number(timestamp) else timestamp
    call(config, data_dir, "POST", "/api/metrics", json=sample)


def import_(
    file: Annotated[Path, typer.Argument(help="The file, also packed with gzip; - reads standard input.")],
    form: Annotated[
        str | None, typer.Option("--format", help="json (a line each), csv or text; told by the name unless given.")
    ] = None,
    columns: Annotated[
        str, typer.Option(help="What the columns of a CSV file are, such as 1:label:host,2:metric:cpu,3:time:unix_s.")
    ] = "",
    delimiter: Annotated[str, typer.Option(help="Of a CSV file.")] = ",",
    skip_header: Annotated[
        bool, typer.Option("--skip-header", help="With --columns: pass over the first row.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Store the samples of a file. What is refused is counted, and the rest is stored."""
    from tocsin.app.importing import Asked, form_of, import_with_bar

    path = None if str(file) == "-" else file
    if delimiter == ",":
        delimiter = "\t" if path is not None and ".tsv" in path.suffixes else delimiter
    asked = Asked(path, form_of(path, form), columns, delimiter, skip_header)
    report = finish(import_with_bar(config, data_dir, asked))
    if as_json:
        print_json(report)
    else:
        print(f"{report.stored} samples stored, {report.refused} refused, in {report.lines} lines.")
        for line, reason in report.examples:
            print(f"  line {line}: {reason}")
    if report.refused:
        raise typer.Exit(1)


def trend(
    name: Annotated[str, typer.Argument(help="The metric's name.")],
    hours: Annotated[float, typer.Option(help="How far to look back.")] = 24.0,
    match: Annotated[
        list[str] | None, typer.Option("--match", "-m", help='Such as mount="/"; may be repeated.')
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Say where a metric is going."""
    answer = call(config, data_dir, "GET", f"/api/trends/{name}", params={"hours": hours, "match": match or []})
    if as_json:
        print_json(answer)
    elif answer["trend"] == "no_data":
        print(f"{name} has no samples in the last {hours:g} hours.")
    else:
        print(f"{name} is {answer['trend']}: avg {answer['avg']:.6g}, min {answer['min']:.6g}, max {answer['max']:.6g}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
