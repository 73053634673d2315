"""The server itself."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from tocsin.app.commands.options import DEFAULT_DATA_DIR, AsJson, Config, DataDir
from tocsin.app.commands.printing import print_json, print_table
from tocsin.version import __version__


def version() -> None:
    """Print the version."""
    print(__version__)


def serve(
    config: Config = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT to listen on.")] = None,
) -> None:
    """Run the server until it is told to stop (Ctrl-C or SIGTERM)."""
    from tocsin.app.serve import serve as run

    run(config, data_dir, listen)


def check_config(config: Config = None, as_json: AsJson = False) -> None:
    """Check the settings, and the scrape file where one is named; print what differs from the defaults."""
    from tocsin.app.config import Settings, load_settings, walk
    from tocsin.app.scraping import check_scraping

    settings = load_settings(config, os.environ)
    scraped = check_scraping(settings)
    for section in scraped.passed_over:
        print(f"{settings.scrape.config_file}: {section} is not about scraping and is passed over.", file=sys.stderr)
    defaults = {(section, key): value for section, key, value, _ in walk(Settings())}
    changed = [
        {"setting": f"{section}.{key}", "value": "•••" if meta.get("secret") and value else _plain(value)}
        for section, key, value, meta in walk(settings)
        if value != defaults[section, key]
    ]
    if as_json:
        print_json({"items": changed, "next": None})
    elif changed:
        print_table(changed, ["setting", "value"])
    else:
        print("All settings are at their defaults.")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value if isinstance(value, bool | int | float) else str(value)
