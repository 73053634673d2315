"""Rule files, on the disk and uploaded: read, checked, and then what their groups say is evaluated.

A file that is broken keeps the groups that it gave when it was not.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from tocsin.model.audit import Actor, AuditEntry
from tocsin.model.errors import NotFoundError, UserError
from tocsin.model.place import Place
from tocsin.model.rule_group import RuleGroup, StoredRuleFile
from tocsin.rules.load import Loaded, Problem, load
from tocsin.rules.ports import GroupJudge, RuleFileStore
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.offload import Offload
from tocsin.runtime.telemetry import Telemetry

log = get_log("rules")

LOOK_EVERY_S = 5.0
UPLOADED = "uploaded:"
"""What the names of uploaded files begin with where groups name their file."""

FILES_MAX = 1_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,199}")


class RuleFileError(UserError):
    """A rule file cannot be taken; `problems` are all that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{more}", field="text")
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class FileText:
    """A file as it lies on the disk; `error` says why it cannot be read."""

    path: str
    text: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A file with what it came to. `groups` are those in force: older ones, while there are problems.

    `stored` is None for a file on the disk.
    """

    name: str
    groups: tuple[RuleGroup, ...]
    problems: tuple[Problem, ...]
    stored: StoredRuleFile | None = None


Read = Callable[[Sequence[str]], Awaitable[list[FileText]]]


class RuleFiles:
    """Changes wait for one another; reading never waits."""

    def __init__(
        self,
        store: RuleFileStore,
        judge: GroupJudge,
        read: Read,
        patterns: Sequence[str],
        *,
        clock: Clock,
        offload: Offload,
        telemetry: Telemetry,
    ) -> None:
        """Files are parsed on `offload`: a large one takes a second."""
        self._store = store
        self._judge = judge
        self._read = read
        self._patterns = tuple(patterns)
        self._clock = clock
        self._offload = offload
        self._loaded: dict[str, tuple[str, Loaded]] = {}
        self._texts: list[FileText] | None = None
        self._files: dict[str, RuleFile] = {}
        self._lock = asyncio.Lock()
        broken = telemetry.gauge("rule_files_broken", "Rule files that cannot be used as they are.")
        broken.set_function(lambda: sum(bool(file.problems) for file in self._files.values()))

    async def load(self) -> None:
        """At start, after the saved rules; and after a change by another process."""
        async with self._lock:
            self._texts = await self._read(self._patterns)
            await self._take(await self._store.files())

    async def reload(self, patterns: Sequence[str]) -> None:
        """With other patterns."""
        self._patterns = tuple(patterns)
        await self.load()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Read the files on the disk again, where they have changed."""
        async with self._lock:
            texts = await self._read(self._patterns)
            if texts != self._texts:
                self._texts = texts
                await self._take(tuple(file.stored for file in self._files.values() if file.stored))

    def files(self) -> tuple[RuleFile, ...]:
        """Those on the disk first, each kind by name."""
        return tuple(sorted(self._files.values(), key=lambda file: (file.stored is not None, file.name)))

    def uploaded(self, name: str) -> RuleFile:
        """Raises NotFoundError."""
        file = self._files.get(UPLOADED + name)
        if file is None:
            raise NotFoundError(f"There is no uploaded rule file {name!r}.")
        return file

    async def put(self, name: str, text: str, actor: Actor) -> RuleFile:
        """Take a file, or another text for it. Raises RuleFileError with all that is wrong with it."""
        if not _NAME.fullmatch(name):
            raise UserError(
                "Name the file with letters, digits, dots, dashes and spaces, at most 200 of them.", field="name"
            )
        loaded = await self._offload.run(load, text, name)
        if loaded.problems:
            raise RuleFileError(loaded.problems)
        async with self._lock:
            before = self._files.get(UPLOADED + name)
            if before is None and len(self._files) >= FILES_MAX:
                raise UserError(f"There are {FILES_MAX:,} rule files already.", field="name")
            stored = StoredRuleFile(name, text, actor.name, self._clock.now_ms())
            old = before.stored if before else None
            await self._store.put_file(stored, self._entry("rule_file.put", name, actor, old, stored))
            await self._take([*self._stored(but=name), stored])
        log.info("rule file taken", file=name, groups=len(loaded.groups), by=actor.name)
        return self.uploaded(name)

    async def delete(self, name: str, actor: Actor) -> None:
        """Raises NotFoundError. Alerts of its rules are closed."""
        async with self._lock:
            old = self.uploaded(name).stored
            await self._store.delete_file(name, self._entry("rule_file.delete", name, actor, old, None))
            await self._take(self._stored(but=name))
        log.info("rule file deleted", file=name, by=actor.name)

    def _stored(self, but: str) -> list[StoredRuleFile]:
        return [file.stored for file in self._files.values() if file.stored and file.stored.name != but]

    async def _take(self, stored: Iterable[StoredRuleFile]) -> None:
        """All that can fail first: a file that is broken goes on with what it was."""
        made = [self._file(each.path, await self._read_in(each), None) for each in self._texts or ()]
        for one in stored:
            name = UPLOADED + one.name
            made.append(self._file(name, await self._parsed(name, one.text), one))
        known = {file.name: file.problems for file in self._files.values()}
        self._files = {file.name: file for file in made}
        self._loaded = {name: one for name, one in self._loaded.items() if name in self._files}
        for file in made:
            if file.problems and known.get(file.name) != file.problems:
                log.warning(
                    "a rule file is broken; its older groups stay", problems=[str(one) for one in file.problems]
                )
        without = [file.name for file in made if file.problems and not file.groups]
        await self._judge.take([group for file in made for group in file.groups], without)

    async def _read_in(self, read: FileText) -> Loaded:
        if read.error:
            return Loaded((), (Problem(read.path, Place(), read.error),))
        return await self._parsed(read.path, read.text)

    async def _parsed(self, name: str, text: str) -> Loaded:
        """A file whose text is what it was is not parsed again."""
        known = self._loaded.get(name)
        if known is not None and known[0] == text:
            return known[1]
        loaded = await self._offload.run(load, text, name)
        self._loaded[name] = text, loaded
        return loaded

    def _file(self, name: str, loaded: Loaded, stored: StoredRuleFile | None) -> RuleFile:
        before = self._files.get(name)
        if loaded.problems:
            return RuleFile(name, before.groups if before else (), loaded.problems, stored)
        return RuleFile(name, loaded.groups, (), stored)

    def _entry(
        self, action: str, name: str, actor: Actor, before: StoredRuleFile | None, after: StoredRuleFile | None
    ) -> AuditEntry:
        return AuditEntry(self._clock.now_ms(), actor, action, f"rule file {name}", _json(before), _json(after))


def _json(file: StoredRuleFile | None) -> dict[str, Any] | None:
    return None if file is None else {"name": file.name, "text": file.text}


def reading(offload: Offload) -> Read:
    """Reads on a thread. A file that has the same size and time as before is not read again."""
    known: dict[str, tuple[tuple[int, int, int], FileText]] = {}

    def read(patterns: Sequence[str]) -> list[FileText]:
        paths = dict.fromkeys(path for pattern in patterns for path in _matching(pattern))
        texts = [_read_file(path, known) for path in paths]
        for gone in known.keys() - paths.keys():
            del known[gone]
        return texts

    async def run(patterns: Sequence[str]) -> list[FileText]:
        return await offload.run(read, patterns) if patterns else []

    return run


def _matching(pattern: str) -> list[str]:
    """A plain path is there also where no such file is: that is a mistake to be told."""
    found = sorted(path for path in glob(pattern) if Path(path).is_file())  # noqa: PTH207 - patterns may be absolute
    return found or ([] if any(char in pattern for char in "*?[") else [pattern])


def _read_file(path: str, known: dict[str, tuple[tuple[int, int, int], FileText]]) -> FileText:
    try:
        about = Path(path).stat()
        mark = (about.st_mtime_ns, about.st_size, about.st_ino)
        if path in known and known[path][0] == mark:
            return known[path][1]
        read = FileText(path, Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        return FileText(path, error=f"The file cannot be read: {error.strerror or error}.")
    except UnicodeDecodeError:
        return FileText(path, error="The file is not UTF-8 text.")
    known[path] = mark, read
    return read
