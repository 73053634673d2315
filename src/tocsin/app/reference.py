"""Writes the settings page from the settings themselves: `python -m tocsin.app.reference FOLDER`."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from tocsin.app.config import ENV_PREFIX, Settings, key_of
from tocsin.model.duration import Duration

HEAD = """# Settings

One TOML file, named by `--config` or `TOCSIN_CONFIG`. Every key is also an environment variable: `[smtp] host` is
`TOCSIN_SMTP__HOST`; lists are written as JSON there. Flags win over the environment, which wins over the file. A
key that does not exist is an error. SIGHUP reads all of it again; what cannot change while running says so.
`tocsin check-config` checks a file and prints what differs from the defaults.

Durations are written like `30s`, `5m`, `1h30m`, `7d`. `TOCSIN_ADMIN_PASSWORD` sets the first password of the user
`admin`; `TOCSIN_DATA_DIR` is the data directory (`--data-dir`, `data` unless told).

This page is generated (`make docs`); a test compares it with the code.
"""


def settings_page() -> str:
    """Markdown: a table for each section."""
    settings = Settings()
    parts = [HEAD]
    for section in fields(settings):
        part = getattr(settings, section.name)
        doc = (type(part).__doc__ or "").strip().splitlines()[0]
        parts.append(f"\n## [{section.name}]\n\n{doc}\n\n| key | default | what |\n|---|---|---|\n")
        parts += [
            f"| `{key_of(each.name)}` | {_default(getattr(part, each.name))} | {each.metadata.get('doc', '')} |\n"
            for each in fields(part)
        ]
    parts.append(f"\nExample: `{ENV_PREFIX}HOST__INTERVAL=10s tocsin serve`.\n")
    return "".join(parts)


def _default(value: Any) -> str:
    match value:
        case Duration():
            return f"`{value}`"
        case bool():
            return "`true`" if value else "`false`"
        case "":
            return ""
        case tuple() | list():
            return f"`{list(value)}`"
        case _:
            return f"`{value}`"


def main() -> None:
    folder = Path(sys.argv[1])
    (folder / "settings.md").write_text(settings_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
