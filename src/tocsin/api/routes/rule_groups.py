"""Groups of rules and the files that they are in."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from tocsin.access.policy import Permission
from tocsin.api.deps import Caller, Wired, require
from tocsin.api.description import family
from tocsin.api.paging import AskedPage, page_of
from tocsin.api.shapes import rule_groups as shapes

router = family("rules")

Name = Annotated[str, Path(max_length=255)]
Reader = require(Permission.RULES_READ)
Editor = Annotated[Caller, require(Permission.RULES_WRITE)]


@router.get("/api/rule-groups", dependencies=[Reader])
async def list_rule_groups(wired: Wired, asked: AskedPage) -> shapes.RuleGroupList:
    """Groups of rules with how their last evaluations went, by file and name; the saved rules come first."""
    page = page_of(wired.rule_groups.groups(), lambda one: f"{one.file}\0{one.name}", asked)
    return shapes.RuleGroupList(items=list(map(shapes.RuleGroup.of, page.items)), next=page.next)


@router.get("/api/rule-files", dependencies=[Reader])
async def list_rule_files(wired: Wired, asked: AskedPage) -> shapes.RuleFileList:
    """All rule files, with what is wrong with them: first those on the server's disk, then those that were uploaded."""
    page = page_of(wired.rule_files.files(), lambda one: f"{one.stored is not None:d}{one.name}", asked)
    return shapes.RuleFileList(items=list(map(shapes.RuleFile.of, page.items)), next=page.next)


@router.get("/api/rule-files/{name}", dependencies=[Reader])
async def read_rule_file(name: Name, wired: Wired) -> shapes.RuleFileText:
    """The text of an uploaded file."""
    stored = wired.rule_files.uploaded(name).stored
    return shapes.RuleFileText(text=stored.text if stored else "")


@router.put("/api/rule-files/{name}")
async def put_rule_file(name: Name, body: shapes.RuleFileText, wired: Wired, caller: Editor) -> shapes.RuleFile:
    """Upload a file, or another text for it. 422 with `problems`, each with its line and column, where it is wrong."""
    return shapes.RuleFile.of(await wired.rule_files.put(name, body.text, caller.actor))


@router.delete("/api/rule-files/{name}", status_code=204)
async def delete_rule_file(name: Name, wired: Wired, caller: Editor) -> None:
    """Delete an uploaded file. Open alerts of its rules are closed, the series that it records end."""
    await wired.rule_files.delete(name, caller.actor)
