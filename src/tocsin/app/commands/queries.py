"""PromQL, asked in the terminal."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from tocsin.app.commands.asking import call
from tocsin.app.commands.options import DEFAULT_DATA_DIR, AsJson, Config, DataDir
from tocsin.app.commands.printing import out, print_json, print_table
from tocsin.model.errors import UserError

WAIT_S = 600.0
"""How long an answer may take; the server gives up earlier (`query.timeout`)."""
CHART_ROWS = 15

Time = Annotated[str | None, typer.Option(help="At this moment, not now: RFC 3339 or seconds.")]
Start = Annotated[str | None, typer.Option(help="At many moments, from this one on.")]
End = Annotated[str | None, typer.Option(help="The last moment; now unless given.")]
Step = Annotated[str | None, typer.Option(help="From one moment to the next, such as 30s; about 300 unless given.")]
Range = Annotated[str | None, typer.Option("--range", help="At many moments, as --start: so long, such as 1h.")]
Lookback = Annotated[str | None, typer.Option(help="How old a sample may be, such as 5m, that is still current.")]


def query(
    expr: Annotated[str, typer.Argument(help="PromQL; after -- where it begins with a minus.")],
    time: Time = None,
    start: Start = None,
    end: End = None,
    step: Step = None,
    length: Range = None,
    lookback: Lookback = None,
    chart: Annotated[bool, typer.Option("--chart", help="Draw the series of a range.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say how it was answered, and what took how long.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Ask with PromQL: now, at one moment, or at many."""
    from tocsin.app.querying import Moments, asked, pointed
    from tocsin.runtime.clock import SystemClock

    moments = Moments(time, start, end, step, length)
    if chart and not moments.ranging:
        raise typer.BadParameter("A chart needs many moments: say --range 1h.")
    try:
        wanted = asked(expr, moments, SystemClock().now_ms(), lookback=lookback, explain=explain)
    except UserError as error:
        raise typer.BadParameter(str(error)) from error
    try:
        answer = call(config, data_dir, "POST", wanted.path, data=wanted.form, timeout=WAIT_S)
    except UserError as error:
        raise UserError(pointed(expr, str(error))) from error
    if as_json:
        print_json(answer)
        return
    for kind in ("warning", "info"):
        for sentence in answer.get(f"{kind}s", ()):
            print(f"{kind}: {sentence.removeprefix(f'PromQL {kind}: ')}", file=sys.stderr)
    _print_result(answer["data"], chart=chart)
    if explain:
        _print_explained(answer["explain"])


def _print_result(data: dict[str, Any], *, chart: bool) -> None:
    from tocsin.app import charting, querying

    result = data["result"]
    if data["resultType"] in ("scalar", "string"):
        print(result[1])
    elif not result:
        print("There is no such series.")
    elif data["resultType"] == "vector":
        print_table(querying.rows_of_vector(result), ["series", "value"], whole=["value"])
    elif chart:
        for row in charting.chart(querying.lines_of(result), width=out.width, height=CHART_ROWS):
            out.print(row)
    else:
        drawn = ["course", "min", "max", "last"]
        print_table(querying.rows_of_lines(querying.lines_of(result), out.width), ["series", *drawn], whole=drawn)


def _print_explained(explain: dict[str, Any]) -> None:
    from tocsin.app import querying

    print()
    print_table(querying.rows_of_stages(explain), ["stage", "ms"])
    if explain["selectors"]:
        print()
    for line in querying.lines_of_selectors(explain):
        print(line)
