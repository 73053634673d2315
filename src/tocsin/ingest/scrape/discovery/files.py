"""Files of target groups, in JSON or YAML."""

from __future__ import annotations

import glob
from dataclasses import dataclass, field
from pathlib import Path

from tocsin.ingest.scrape.config import read_text, target_group
from tocsin.ingest.scrape.discovery.source import Found
from tocsin.ingest.scrape.job import FileDiscovery, TargetGroup
from tocsin.model import document
from tocsin.model.document import FaultError, parse_yaml
from tocsin.model.errors import UserError
from tocsin.runtime.offload import Offload

LOOK_MS = 5_000
"""How often it is looked whether a file has changed; `refresh_interval` says when it is read in any case."""

FILES_MAX = 10_000

_Stamp = tuple[int, int, int]


@dataclass(slots=True)
class _File:
    stamp: _Stamp
    groups: tuple[TargetGroup, ...] = ()
    error: str = ""


@dataclass(slots=True)
class FileSource:
    """A file that cannot be read any more keeps its targets; one that is gone takes them along."""

    wanted: FileDiscovery
    offload: Offload
    _files: dict[str, _File] = field(default_factory=dict)

    @property
    def period_ms(self) -> int:
        return min(LOOK_MS, self.wanted.refresh_ms)

    async def find(self) -> Found:
        self._files = await self.offload.run(_look, self.wanted.files, self._files)
        error = next((one.error for one in self._files.values() if one.error), "")
        return Found(tuple(group for path in sorted(self._files) for group in self._files[path].groups), error)

    async def close(self) -> None:
        pass


def _look(patterns: tuple[str, ...], before: dict[str, _File]) -> dict[str, _File]:
    found: dict[str, _File] = {}
    for path in [path for pattern in patterns for path in sorted(glob.glob(pattern))][:FILES_MAX]:  # noqa: PTH207 - absolute
        known = before.get(path)
        try:
            stat = Path(path).stat()
        except OSError:  # it went in this very moment
            continue
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        found[path] = known if known is not None and known.stamp == stamp else _read(path, stamp, known)
    return found


def _read(path: str, stamp: _Stamp, known: _File | None) -> _File:
    try:
        return _File(stamp, parse_groups(read_text(Path(path)), path))
    except UserError as error:
        return _File(stamp, known.groups if known else (), str(error))


def parse_groups(text: str, path: str) -> tuple[TargetGroup, ...]:
    """Each with `__meta_filepath`. JSON is YAML, so both are read alike. Raises UserError with line and column."""
    try:
        root = parse_yaml(text)
        if not root.items and not root.entries:  # an empty file lists nothing
            return ()
        return tuple(
            _with_path(target_group(node, f"{path}:{at}"), path) for at, node in enumerate(document.items(root))
        )
    except FaultError as error:
        raise error.named(path) from error


def _with_path(group: TargetGroup, path: str) -> TargetGroup:
    return TargetGroup(group.targets, (*group.labels, ("__meta_filepath", path)), group.source)
