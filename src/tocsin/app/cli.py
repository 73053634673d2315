"""The command `tocsin`. Answers go to standard output, everything else to standard error.

Exit codes: 0 done, 1 it could not be done (the sentence says why), 2 the command was typed wrongly.
Commands that read or change what the server keeps speak HTTP to the running server, or to the same
application in this process where no server runs: one road, whether the server is up or down.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from tocsin.app.commands import (
    adoption,
    alerts,
    backups,
    keys,
    queries,
    retention,
    rules,
    samples,
    series,
    server,
    targets,
    tokens,
    users,
)
from tocsin.model.errors import TocsinError

app = typer.Typer(
    name="tocsin",
    help="Watch machines, keep their metrics, and wake the right person when something is wrong.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("version")(server.version)
app.command("serve")(server.serve)
app.command("check-config")(server.check_config)
app.command("store")(samples.store)
app.command("import")(samples.import_)
app.command("trend")(samples.trend)
app.command("query")(queries.query)
app.command("targets")(targets.targets)
app.command("adopt")(adoption.adopt)
app.command("backup")(backups.backup)
app.command("restore")(backups.restore)
app.command("encrypt")(keys.encrypt)
app.command("decrypt")(keys.decrypt)
app.add_typer(series.app, name="series")
app.add_typer(rules.app, name="rules")
app.add_typer(alerts.app, name="alerts")
app.add_typer(retention.app, name="retention")
app.add_typer(users.app, name="user")
app.add_typer(tokens.app, name="token")
app.add_typer(keys.app, name="key")


def main() -> NoReturn:
    """The entry point of the console script."""
    try:
        app(prog_name="tocsin")
    except TocsinError as error:
        print(f"tocsin: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
