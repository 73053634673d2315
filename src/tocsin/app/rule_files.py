"""Rule files on the command line: `tocsin rules check` and `rules test` judge them here, without a server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from tocsin.model.document import FaultError
from tocsin.model.duration import DAY_MS, SECOND_MS, Duration, format_ms
from tocsin.model.errors import UserError
from tocsin.model.place import Place
from tocsin.model.rule_group import AlertingRule, RuleGroup
from tocsin.promql.engine import Engine
from tocsin.promql.settings import QuerySettings
from tocsin.rules.dump import dump
from tocsin.rules.load import Problem, load, repeated
from tocsin.rules.testing.player import Failure, play
from tocsin.rules.testing.suite import RuleTest, Suite, parse_suite
from tocsin.runtime.clock import SystemClock
from tocsin.runtime.offload import InlineOffload
from tocsin.store.memory import MemorySampleStore
from tocsin.store.settings import RetentionSettings

_EVERYTHING = Duration(400 * 365 * DAY_MS)


class _TestClock(SystemClock):
    """It is the test's last moment; what a query takes is measured for real."""

    def __init__(self, at_ms: int) -> None:
        self._at_ms = at_ms

    def now_ms(self) -> int:
        return self._at_ms


@dataclass(frozen=True, slots=True)
class Checked:
    """A rule file: how many rules it has, what is wrong with it, and what may be."""

    file: str
    rules: int
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A test of a file. `name` is that of the test, or its number in the file."""

    file: str
    name: str
    failures: tuple[Failure, ...] = ()
    problems: tuple[Problem, ...] = ()
    """Why it could not be run: the file, or a rule file that it names, cannot be read."""

    @property
    def passed(self) -> bool:
        return not self.failures and not self.problems


def check_files(files: Sequence[Path]) -> list[Checked]:
    """Raises nothing for a file: what is wrong with it is in the answer."""
    return [_check(file)[0] for file in files]


def _check(file: Path) -> tuple[Checked, tuple[RuleGroup, ...]]:
    try:
        text = _text(file)
    except UserError as error:
        return Checked(str(file), 0, (Problem(str(file), Place(), str(error)),)), ()
    loaded = load(text, str(file))
    count = sum(len(group.rules) for group in loaded.groups)
    return Checked(str(file), count, loaded.problems, repeated(loaded.groups)), loaded.groups


def run_tests(files: Sequence[Path], run: str = "") -> list[Verdict]:
    """Every test whose name the expression `run` finds. Raises UserError where that is no regular expression."""
    try:
        wanted = re.compile(run)
    except re.error as error:
        raise UserError(f"{run!r} is not a regular expression: {error}.") from error
    return asyncio.run(_run_files(files, wanted))


async def _run_files(files: Sequence[Path], wanted: re.Pattern[str]) -> list[Verdict]:
    return [tested for file in files for tested in await _test_file(file, wanted)]


async def _test_file(file: Path, wanted: re.Pattern[str]) -> list[Verdict]:
    try:
        suite = parse_suite(_text(file))
    except FaultError as fault:
        told = f"{fault.place.path}: {fault.message}" if fault.place.path else fault.message
        return [Verdict(str(file), "", problems=(Problem(str(file), fault.place, told),))]
    except UserError as error:
        return [Verdict(str(file), "", problems=(Problem(str(file), Place(), str(error)),))]
    checked = [_check(each) for each in _rule_files(suite, file.parent)]
    problems = tuple(problem for each, _ in checked for problem in each.problems)
    if problems:
        return [Verdict(str(file), "", problems=problems)]
    groups = [group for _, found in checked for group in found]
    named = [(test.name or f"test {number}", test) for number, test in enumerate(suite.tests, 1)]
    return [
        Verdict(str(file), name, tuple(await _play(suite, test, groups)))
        for name, test in named
        if wanted.search(test.name)
    ]


async def _play(suite: Suite, test: RuleTest, groups: Iterable[RuleGroup]) -> list[Failure]:
    clock = _TestClock(test.length_ms)
    kept = RetentionSettings(raw=_EVERYTHING)
    settings = QuerySettings(step=Duration(suite.interval_ms))
    engine = Engine(settings, monotonic_s=clock.monotonic_s, threads=InlineOffload())
    async with MemorySampleStore(kept=kept, clock=clock) as samples:
        return await play(suite, test, groups, engine, samples)


def _rule_files(suite: Suite, folder: Path) -> list[Path]:
    """Those that the patterns find, in the order of the patterns; one that finds nothing names a file that must be."""
    found: dict[Path, None] = {}
    for pattern in suite.rule_files:
        path = str(folder / pattern)
        found |= dict.fromkeys(map(Path, sorted(glob(path)) or [path]))  # noqa: PTH207 - Path.glob knows no ".."
    return list(found)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"The file cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The file is not UTF-8 text: byte {error.start} is no part of a character.") from error


def exported(rules: Iterable[Mapping[str, Any]]) -> str:
    """Rules as the API lists them, as the text of a rule file with one group; those that are off are left out."""
    alerts = tuple(_alert(rule) for rule in rules if rule["enabled"])
    return dump([RuleGroup("tocsin", alerts)])


def _alert(rule: Mapping[str, Any]) -> AlertingRule:
    description = str(rule["description"]).replace("{{", '{{ "{{" }}')  # it is text here, and a template there
    return AlertingRule(
        str(rule["name"]),
        str(rule["expr"]),
        for_ms=round(float(rule["duration"]) * SECOND_MS),
        labels=(("severity", str(rule["severity"])),),
        annotations=(("description", description),) if description else (),
    )


def failure_lines(failure: Failure) -> list[str]:
    """For people: what was looked at, and `-` for what is missing, `+` for what should not be there."""
    about = {"alert": failure.alert, "expr": failure.expr, "rule": failure.rule}
    kind, what = next((kind, what) for kind, what in about.items() if what)
    lines = [f"{kind} {what.strip()!s} at {format_ms(failure.at_ms)}:"]
    if failure.error:
        lines.append(f"    {failure.error}")
    lines += [f"  - {text}" for text in failure.missing]
    lines += [f"  + {text}" for text in failure.unexpected]
    return lines
