from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tocsin.ingest.scrape.discovery.files import FileSource, parse_groups
from tocsin.ingest.scrape.job import FileDiscovery, TargetGroup
from tocsin.model.errors import UserError
from tocsin.runtime.offload import InlineOffload


def source(*patterns: Path | str, refresh_ms: int = 300_000) -> FileSource:
    return FileSource(FileDiscovery(tuple(map(str, patterns)), refresh_ms), InlineOffload())


def put(path: Path, *targets: str, **labels: str) -> None:
    entry: dict[str, Any] = {"targets": list(targets), "labels": labels}
    path.write_text(json.dumps([entry]))


async def found(made: FileSource) -> list[str]:
    return [target for group in (await made.find()).groups for target in group.targets]


async def test_groups_of_every_file_that_fits_are_found(tmp_path: Path) -> None:
    put(tmp_path / "b.json", "b:1", rack="7")
    (tmp_path / "a.yml").write_text("- targets: [a:1, a:2]\n  labels: {rack: 8}\n- targets: [c:1]\n")
    (tmp_path / "other.txt").write_text("no")
    groups = (await source(tmp_path / "*.json", tmp_path / "*.yml").find()).groups
    path = str(tmp_path / "a.yml")
    assert groups[0] == TargetGroup(("a:1", "a:2"), (("rack", "8"), ("__meta_filepath", path)), f"{path}:0")
    assert [group.targets for group in groups] == [("a:1", "a:2"), ("c:1",), ("b:1",)]


async def test_a_file_that_changes_comes_and_goes_is_seen(tmp_path: Path) -> None:
    made = source(tmp_path / "*.json")
    assert await found(made) == []
    put(tmp_path / "a.json", "a:1")
    assert await found(made) == ["a:1"]
    put(tmp_path / "a.json", "a:1", "a:22")
    assert await found(made) == ["a:1", "a:22"]
    (tmp_path / "a.json").unlink()
    assert await found(made) == []


async def test_a_file_with_a_mistake_keeps_its_targets_and_is_told(tmp_path: Path) -> None:
    made = source(tmp_path / "*.json")
    put(tmp_path / "a.json", "a:1")
    put(tmp_path / "b.json", "b:1")
    await made.find()
    (tmp_path / "a.json").write_text('[{"targets": ["a:1"], "lables": {}}]')
    answer = await made.find()
    assert [group.targets for group in answer.groups] == [("a:1",), ("b:1",)]
    assert "a.json, line 1, column 23: [0].lables: There is no key 'lables' here; did you mean labels?" in answer.error
    put(tmp_path / "a.json", "a:2")
    assert (await made.find()).error == ""


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]", "null"])
def test_an_empty_file_lists_nothing(text: str) -> None:
    assert parse_groups(text, "x.yml") == ()


@pytest.mark.parametrize("text", ["{targets: [a]}", "- a", "- {targets: [http://a/]}", "{", "- {targets: a}"])
def test_what_is_no_list_of_groups_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"x.yml, line [12], column "):
        parse_groups(text, "x.yml")


def test_files_are_looked_at_often_and_more_often_where_the_job_says_so() -> None:
    assert source("a").period_ms == 5_000
    assert source("a", refresh_ms=1_000).period_ms == 1_000
