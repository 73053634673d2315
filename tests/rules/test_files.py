from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.ruling import RuleHouse

from tocsin.model.audit import Actor, AuditEntry
from tocsin.model.errors import NotFoundError, UserError
from tocsin.model.labels import Labels
from tocsin.model.rule_group import StoredRuleFile
from tocsin.rules.files import RuleFileError, RuleFiles, reading
from tocsin.runtime.offload import InlineOffload
from tocsin.runtime.telemetry import Telemetry

ANN = Actor("ann", "192.0.2.1")
UP = Labels.metric("up", {"host": "a"})
DOWN = "groups:\n- name: g\n  interval: 15s\n  rules:\n  - {alert: Down, expr: up == 0}\n"
BROKEN = DOWN.replace("up == 0", "up ==")


class Store:
    def __init__(self) -> None:
        self.kept: dict[str, StoredRuleFile] = {}
        self.audit: list[AuditEntry] = []

    async def files(self) -> tuple[StoredRuleFile, ...]:
        return tuple(self.kept[name] for name in sorted(self.kept))

    async def put_file(self, file: StoredRuleFile, entry: AuditEntry) -> None:
        self.kept[file.name] = file
        self.audit.append(entry)

    async def delete_file(self, name: str, entry: AuditEntry) -> None:
        del self.kept[name]
        self.audit.append(entry)


class House(RuleHouse):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.store = folder, Store()

    async def begin(self, *patterns: str) -> RuleFiles:
        """The process from its start."""
        await self.start()
        self.files = RuleFiles(
            self.store,
            self.runner,
            reading(InlineOffload()),
            [str(self.folder / pattern) for pattern in patterns],
            clock=self.clock,
            offload=InlineOffload(),
            telemetry=Telemetry(),
        )
        await self.files.load()
        return self.files

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def names(self) -> list[tuple[str, str]]:
        return [(Path(group.file).name, group.rules[0].rule.expr) for group in self.runner.groups()]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_files_on_the_disk_are_evaluated_and_read_again_when_they_change(house: House) -> None:
    house.write("a.yml", DOWN)
    files = await house.begin("*.yml")
    assert house.names() == [("a.yml", "up == 0")]
    house.write("a.yml", DOWN.replace("up == 0", "up < 1"))
    house.write("b.yml", DOWN)
    await files.look()
    assert house.names() == [("a.yml", "up < 1"), ("b.yml", "up == 0")]
    (house.folder / "a.yml").unlink()
    await files.look()
    assert house.names() == [("b.yml", "up == 0")]


async def test_a_broken_file_keeps_its_older_groups_and_says_where_it_is_wrong(house: House) -> None:
    house.write("a.yml", DOWN)
    house.write("b.yml", DOWN)
    files = await house.begin("*.yml")
    house.write("a.yml", BROKEN)
    house.write("b.yml", DOWN.replace("up == 0", "up < 1"))
    await files.look()
    assert house.names() == [("a.yml", "up == 0"), ("b.yml", "up < 1")]
    (a, b) = files.files()
    assert [(one.place.line, one.rule) for one in a.problems] == [(5, "Down")]
    assert b.problems == ()


async def test_alerts_of_a_file_that_is_broken_at_the_start_stay_open(house: House) -> None:
    house.write("a.yml", DOWN)
    await house.begin("*.yml")
    assert await house.tick((UP, 0.0)) == [("inactive", "firing")]
    house.write("a.yml", BROKEN)
    files = await house.begin("*.yml")
    assert await house.tick((UP, 0.0)) == []
    assert house.names() == []
    house.write("a.yml", DOWN)
    await files.look()
    assert await house.tick((UP, 0.0)) == []
    house.clock.advance(200_000)
    assert await house.tick((UP, 1.0)) == [("firing", "resolved")]


async def test_a_path_where_no_file_is_is_a_problem_and_a_pattern_that_finds_none_is_not(house: House) -> None:
    files = await house.begin("missing.yml", "*.yaml")
    (missing,) = files.files()
    assert missing.problems[0].message == "The file cannot be read: No such file or directory."


async def test_a_file_is_uploaded_audited_and_there_after_a_restart(house: House) -> None:
    files = await house.begin()
    taken = await files.put("mine.yml", DOWN, ANN)
    assert (taken.name, taken.problems) == ("uploaded:mine.yml", ())
    assert [(entry.action, entry.target) for entry in house.store.audit] == [("rule_file.put", "rule file mine.yml")]
    await house.begin()
    assert await house.tick((UP, 0.0)) == [("inactive", "firing")]


async def test_what_is_wrong_with_a_file_is_told_whole_and_the_old_one_stays(house: House) -> None:
    files = await house.begin()
    await files.put("mine.yml", DOWN, ANN)
    with pytest.raises(RuleFileError, match="and 1 more") as caught:
        await files.put("mine.yml", BROKEN + "  - {alert: x, expr: '(('}\n", ANN)
    assert [problem.place.line for problem in caught.value.problems] == [5, 6]
    assert files.uploaded("mine.yml").stored == house.store.kept["mine.yml"]
    assert house.names() == [("uploaded:mine.yml", "up == 0")]


async def test_deleting_a_file_closes_its_alerts(house: House) -> None:
    files = await house.begin()
    await files.put("mine.yml", DOWN, ANN)
    await house.tick((UP, 0.0))
    await files.delete("mine.yml", ANN)
    assert house.told() == [("firing", "resolved")]
    assert files.files() == ()
    with pytest.raises(NotFoundError, match=r"no uploaded rule file 'mine\.yml'"):
        await files.delete("mine.yml", ANN)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 201, "a\nb"])
async def test_a_file_has_a_plain_name(house: House, name: str) -> None:
    files = await house.begin()
    with pytest.raises(UserError, match="Name the file with letters"):
        await files.put(name, DOWN, ANN)
