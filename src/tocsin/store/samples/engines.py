"""Which engine the settings ask for."""

from __future__ import annotations

from pathlib import Path

from tocsin.store.samples.address import parse_address
from tocsin.store.samples.disks import disks_of
from tocsin.store.samples.embedded import EmbeddedEngine
from tocsin.store.samples.engine import Engine
from tocsin.store.samples.served import ServedEngine
from tocsin.store.settings import StoreSettings
from tocsin.store.vault import Vault


def open_engine(path: Path, settings: StoreSettings, vault: Vault | None = None) -> Engine:
    """A server where `store.url` names one, else the embedded engine on `path`, encrypted where there is a vault.

    Raises UserError, StoreError.
    """
    if settings.url:
        return ServedEngine(parse_address(settings.url), settings)
    return EmbeddedEngine(path, settings, disks_of(vault))


def place_of(path: Path, settings: StoreSettings) -> str:
    """As logs name it."""
    return str(parse_address(settings.url)) if settings.url else str(path)
