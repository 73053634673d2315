"""Where the embedded engine keeps its tables: on the plain disk, or on an encrypted one a data key.

A disk has one key for good, so that a new key is a new disk and changing keys is moving parts. The policy is the
engine's default one: no table has to say anything, and neither a table nor a mutation can miss it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from tocsin.store.sealing import DataKey
from tocsin.store.vault import Vault, Work

PLAIN = "default"
"""The engine's own name of its directory as a disk."""


@dataclass(frozen=True, slots=True)
class Disks:
    """`target` takes what is new; `sources` may hold parts that are to be moved there."""

    keys: tuple[DataKey, ...] = ()
    target: str = PLAIN
    sources: tuple[str, ...] = ()


def disks_of(vault: Vault | None) -> Disks:
    if vault is None:
        return Disks()
    keys = vault.ring.keys
    names = tuple(sealed(key) for key in keys)
    match vault.work:
        case Work.DECRYPT:
            return Disks(keys, PLAIN, names)
        case Work.ENCRYPT:
            return Disks(keys, names[-1], (PLAIN,))
        case Work.REWRITE | None:
            return Disks(keys, names[-1], names[:-1])


def sealed(key: DataKey) -> str:
    return f"sealed_{key.id}"


def folder_of(path: Path, name: str) -> Path:
    """The directory of that disk in the engine's directory `path`."""
    return path if name == PLAIN else path / "disks" / name.removeprefix("sealed_")


def storage_config(path: Path, disks: Disks) -> str:
    """The part of the engine's configuration that says so. It holds the keys: never let it reach a disk."""
    if not disks.keys:
        return ""
    named = "".join(_disk(path, key) for key in disks.keys)
    volumes = "".join(
        f"<v{number}><disk>{name}</disk></v{number}>" for number, name in enumerate((disks.target, *disks.sources))
    )
    return (
        f"<storage_configuration><disks>{named}</disks><policies><default><volumes>{volumes}</volumes>"
        "<move_factor>0</move_factor></default></policies></storage_configuration>"
    )


def _disk(path: Path, key: DataKey) -> str:
    name = sealed(key)
    folder = escape(str(folder_of(path, name)))
    return (
        f"<under_{key.id}><type>local</type><path>{folder}/</path></under_{key.id}>"
        f"<{name}><type>encrypted</type><disk>under_{key.id}</disk><algorithm>AES_256_CTR</algorithm>"
        f"<key_hex>{key.derive('samples disk').hex()}</key_hex></{name}>"
    )
