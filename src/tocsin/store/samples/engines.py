"""Which engine the settings ask for."""

from __future__ import annotations

from pathlib import Path

from tocsin.store.samples.address import parse_address
from tocsin.store.samples.embedded import EmbeddedEngine
from tocsin.store.samples.engine import Engine
from tocsin.store.samples.served import ServedEngine
from tocsin.store.settings import StoreSettings


def open_engine(path: Path, settings: StoreSettings) -> Engine:
    """A server where `store.url` names one, else the embedded engine on `path`. Raises UserError, StoreError."""
    if settings.url:
        return ServedEngine(parse_address(settings.url), settings)
    return EmbeddedEngine(path, settings)


def place_of(path: Path, settings: StoreSettings) -> str:
    """As logs name it."""
    return str(parse_address(settings.url)) if settings.url else str(path)
