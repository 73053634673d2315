"""Backups over the API."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
from tests.api.world import Api

from tocsin.model.people import Role
from tocsin.store.backup.manifest import ids
from tocsin.store.backup.place import Folder


async def ended(http: httpx.AsyncClient, backup_id: int) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            made: dict[str, Any] = (await http.get(f"/api/backups/{backup_id}")).json()
            if made["state"] != "running":
                return made


async def test_a_backup_is_begun_watched_and_listed(api: Api, tmp_path: Path) -> None:
    await api.push("queue.length", 3.0)
    async with api.client(Role.ADMIN) as http:
        answer = await http.post("/api/backups", json={"to": str(tmp_path / "backups")})
        assert answer.status_code == 202, answer.text
        begun = answer.json()
        assert (begun["state"], begun["checked"], begun["progress"]["phase"]) == ("running", False, "starting")
        made = await ended(http, begun["id"])
        assert (made["state"], made["checked"], made["progress"], made["samples"]) == ("done", True, None, 1)
        assert made["stored"] == made["written"] > 0
        assert ids(Folder(tmp_path / "backups")) == [made["name"]]
        listed = (await http.get("/api/backups")).json()
        assert (listed["items"], listed["default_place"]) == ([made], "")
        audit = (await http.get("/api/audit")).json()["items"]
        assert (audit[0]["action"], audit[0]["after"]) == ("backup.start", {"place": str(tmp_path / "backups")})


async def test_only_one_is_made_at_a_time(api: Api, tmp_path: Path) -> None:
    async with api.client(Role.ADMIN) as http:
        begun = (await http.post("/api/backups", json={"to": str(tmp_path / "backups")})).json()
        answer = await http.post("/api/backups", json={"to": str(tmp_path / "other")})
        assert answer.status_code == 409
        assert "being made already" in answer.json()["detail"]
        await ended(http, begun["id"])


async def test_a_backup_that_cannot_be_made_says_why(api: Api, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    async with api.client(Role.ADMIN) as http:
        assert (await http.post("/api/backups", json={})).status_code == 422
        assert (await http.post("/api/backups", json={"to": "ftp://x/y"})).status_code == 400
        answer = await http.post("/api/backups", json={"to": str(tmp_path / "file" / "below")})
        assert answer.status_code == 503
        assert "cannot be used for backups" in answer.json()["detail"]
        assert (await http.get("/api/backups")).json()["items"] == []
        assert (await http.get("/api/backups/1")).status_code == 404


async def test_a_backup_that_fails_on_the_way_is_listed_with_the_reason(api: Api, tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "chunks").write_bytes(b"in the way")
    async with api.client(Role.ADMIN) as http:
        begun = (await http.post("/api/backups", json={"to": str(tmp_path / "backups")})).json()
        made = await ended(http, begun["id"])
        assert (made["state"], made["name"]) == ("failed", "")
        assert "cannot be used for backups" in made["error"]
