"""Data directories that are encrypted, become so, change their key, and stop being encrypted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support.encryption import (
    KEY,
    LABEL,
    OTHER_KEY,
    ROWS,
    RUNBOOK,
    SETTING,
    VALUE,
    contents,
    everything_under,
    fill,
    in_plain,
    opened,
    under,
    world,
)
from tests.support.postgres import cluster
from tests.support.samples import batch
from tests.support.server import ServerProcess
from tests.support.state import a_rule

from tocsin.app.config import StateSettings
from tocsin.app.encryption import decrypt, encrypt, new_key, read_key, rotate, status
from tocsin.app.restore import restore_into
from tocsin.app.state import open_state_store
from tocsin.app.wiring import open_backups, open_engine
from tocsin.model.audit import SYSTEM
from tocsin.model.backup import BackupState
from tocsin.model.errors import ConflictError, StoreError, TocsinError, UserError
from tocsin.store.samples.store import SampleStore
from tocsin.store.sealing import parse_key
from tocsin.store.state.columns import SEALED
from tocsin.store.state.engine import parse_url
from tocsin.store.state.reseal import sealed_columns
from tocsin.store.vault import FILE, fingerprint

ROOT = Path(__file__).parents[2]


def nobody(_what: str, _done: int, _total: int) -> None:
    pass


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def refused(data: Path, key: str, sentence: str) -> None:
    """Everything that opens the directory says so and touches nothing."""
    before = everything_under(data)
    with pytest.raises(TocsinError, match=sentence):
        async with opened(data, key):
            pass
    with pytest.raises(TocsinError, match=sentence):
        async with open_state_store(under(key), data, world().offload):
            pass
    assert everything_under(data) == before


async def test_in_a_new_directory_with_a_key_nothing_is_ever_plain(data: Path) -> None:
    async with opened(data, KEY) as engine:
        await fill(engine)
        assert not in_plain(data)
        store = engine.samples
        assert isinstance(store, SampleStore)
        await store.merge()
        before = await contents(engine)
        assert not in_plain(data)
    assert not in_plain(data)
    async with opened(data, KEY) as engine:
        assert await contents(engine) == before
        assert len(before[0]) == len(ROWS)
    assert not in_plain(data)
    assert not any(parse_key(KEY) in bytes_ or KEY.encode() in bytes_ for bytes_ in everything_under(data).values())


async def test_without_a_key_the_same_things_are_found(data: Path) -> None:
    """What the other tests look for would be there."""
    async with opened(data, "") as engine:
        await fill(engine)
    files = in_plain(data)
    assert any(name.startswith("samples/") for name in files)
    assert any(name.startswith("state.db") for name in files)


async def test_the_journal_holds_nothing_plain(data: Path) -> None:
    async with opened(data, KEY) as engine:
        store = engine.samples
        assert isinstance(store, SampleStore)
        await store.append(batch(store, ROWS))
        assert sum(len(data) for name, data in everything_under(data).items() if ".segment" in name) > 24 * len(ROWS)
        assert not in_plain(data)


@pytest.mark.parametrize("key", ["", OTHER_KEY], ids=["none", "another"])
async def test_a_wrong_key_or_none_gives_one_sentence_and_touches_nothing(data: Path, key: str) -> None:
    async with opened(data, KEY) as engine:
        await fill(engine)
    said = f"key {fingerprint(KEY)}, and store.encryption_key is key {fingerprint(key)}" if key else "is encrypted: set"
    await refused(data, key, said)
    before = everything_under(data)
    for change in (encrypt, decrypt):
        with pytest.raises(UserError, match=r"first; `tocsin key new FILE`|Nothing was opened or changed"):
            await change(under(key), data, world(), nobody)
    with pytest.raises(UserError, match="Nothing was opened or changed"):
        await rotate(under(key), data, world(), OTHER_KEY, rewrite=True, seen=nobody)
    assert everything_under(data) == before
    async with opened(data, KEY) as engine:
        assert len((await contents(engine))[0]) == len(ROWS)


async def test_without_its_key_ring_an_encrypted_directory_is_left_alone(data: Path) -> None:
    async with opened(data, KEY) as engine:
        await fill(engine)
    ring = (data / FILE).read_bytes()
    (data / FILE).unlink()
    await refused(data, KEY, "is missing: put it back from a backup")
    (data / FILE).write_bytes(ring[:-9])
    await refused(data, KEY, "is damaged: put it back from a backup")


async def test_plain_data_is_not_mixed_with_encrypted_data(data: Path) -> None:
    async with opened(data, "") as engine:
        await fill(engine)
    await refused(data, KEY, "holds data that is not encrypted: run `tocsin encrypt` once")


async def test_plain_data_becomes_encrypted_and_plain_again_with_every_sample(data: Path) -> None:
    async with opened(data, "") as engine:
        await fill(engine)
        before = await contents(engine)
    await encrypt(under(KEY), data, world(), nobody)
    assert not in_plain(data)
    async with opened(data, KEY) as engine:
        assert await contents(engine) == before
    with pytest.raises(ConflictError, match=f"encrypted already, with key {fingerprint(KEY)}"):
        await encrypt(under(KEY), data, world(), nobody)
    await decrypt(under(KEY), data, world(), nobody)
    assert not (data / FILE).exists()
    assert not (data / "samples" / "disks").exists()
    async with opened(data, "") as engine:
        assert await contents(engine) == before
        assert b"\x1asealed" not in b"".join(everything_under(data).values())
    with pytest.raises(ConflictError, match="is not encrypted"):
        await decrypt(under(""), data, world(), nobody)


async def test_encrypting_an_empty_directory_makes_it_an_encrypted_one(data: Path) -> None:
    await encrypt(under(KEY), data, world(), nobody)
    assert status(under(KEY), data).encrypted
    async with opened(data, KEY) as engine:
        await fill(engine)
    assert not in_plain(data)


async def test_a_new_key_takes_effect_while_the_stores_are_open_and_the_older_one_opens_nothing(data: Path) -> None:
    async with opened(data, KEY) as engine:
        await fill(engine)
        await rotate(under(KEY), data, world(), OTHER_KEY, rewrite=False, seen=nobody)
        before = await contents(engine)
    await refused(data, KEY, "Nothing was opened or changed")
    with pytest.raises(ConflictError, match="already"):
        await rotate(under(KEY), data, world(), OTHER_KEY, rewrite=False, seen=nobody)
    async with opened(data, OTHER_KEY) as engine:
        assert await contents(engine) == before
    assert not in_plain(data)


async def test_a_rewrite_leaves_nothing_that_the_older_data_key_opens(data: Path) -> None:
    async with opened(data, KEY) as engine:
        await fill(engine)
        before = await contents(engine)
    older = everything_under(data)
    await rotate(under(KEY), data, world(), OTHER_KEY, rewrite=True, seen=nobody)
    assert [path.name for path in (data / "samples" / "disks").iterdir()] == ["2"]
    newer = everything_under(data)
    kept = {name for name in newer if name.endswith((".bin", ".txt")) and newer[name] in older.values()}
    assert not kept
    async with opened(data, OTHER_KEY) as engine:
        assert await contents(engine) == before
    assert not in_plain(data)
    await rotate(under(OTHER_KEY), data, world(), KEY, rewrite=True, seen=nobody)
    async with opened(data, KEY) as engine:
        assert await contents(engine) == before


async def test_a_change_waits_for_the_server_to_stop(data: Path) -> None:
    async with opened(data, "") as engine:
        await fill(engine)
        with pytest.raises(UserError, match="is in use by another tocsin"):
            await encrypt(under(KEY), data, world(), nobody)
        assert not (data / FILE).exists()
        assert len((await contents(engine))[0]) == len(ROWS)


async def test_what_is_left_of_a_damaged_journal_is_not_encrypted_silently(data: Path) -> None:
    async with opened(data, "") as engine:
        await fill(engine)
    (data / "samples.journal" / "000000000001.damaged").write_bytes(LABEL.encode())
    with pytest.raises(StoreError, match=r"000000000001\.damaged has not reached the sample store"):
        await encrypt(under(KEY), data, world(), nobody)
    assert not (data / FILE).exists()


async def test_the_status_names_keys_by_their_fingerprints(data: Path) -> None:
    assert not status(under(""), data).encrypted
    await encrypt(under(KEY), data, world(), nobody)
    said = status(under(OTHER_KEY), data)
    assert (said.encrypted, said.key, said.key_set) == (True, fingerprint(KEY), fingerprint(OTHER_KEY))


def test_a_new_key_is_written_for_its_owner_alone_and_never_over_another(tmp_path: Path) -> None:
    path = tmp_path / "key"
    text = new_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(path) == text
    assert new_key(None) != text
    with pytest.raises(UserError, match="a key is never overwritten"):
        new_key(path)
    assert read_key(path) == text
    with pytest.raises(UserError, match="Cannot read a key"):
        read_key(tmp_path / "none")


def sealed_share(url: str) -> float:
    """Of the values in sealed columns."""
    engine = sa.create_engine(parse_url(url))
    with engine.connect() as connection:
        texts = [
            text
            for column in sealed_columns()
            for (text,) in connection.execute(sa.select(sa.type_coerce(column, sa.Text())).where(column.is_not(None)))
        ]
    engine.dispose()
    return sum(text.startswith(SEALED) for text in texts) / len(texts)


async def test_state_in_postgresql_is_sealed_and_opened_with_the_rest(data: Path) -> None:
    with cluster().database() as url:
        plain, keyed = (replace(under(key), state=StateSettings(url=url)) for key in ("", KEY))
        async with open_engine(plain, data, world()) as engine:
            await fill(engine)
            before = await contents(engine)
        assert sealed_share(url) == 0
        await encrypt(keyed, data, world(), nobody)
        assert sealed_share(url) == 1
        async with open_engine(keyed, data, world()) as engine:
            assert await contents(engine) == before
        await decrypt(keyed, data, world(), nobody)
        assert sealed_share(url) == 0
        async with open_engine(plain, data, world()) as engine:
            assert await contents(engine) == before


async def test_a_new_directory_with_a_key_seals_what_its_postgresql_holds_already(data: Path, tmp_path: Path) -> None:
    with cluster().database() as url:
        plain, keyed = (replace(under(key), state=StateSettings(url=url)) for key in ("", KEY))
        async with open_engine(plain, tmp_path / "before", world()) as engine:
            await engine.state.rules.add_rules([a_rule(description=RUNBOOK)], [])
        async with open_engine(keyed, data, world()) as engine:
            assert [rule.description for rule in await engine.state.rules.rules()] == [RUNBOOK]
        assert sealed_share(url) == 1
        assert status(keyed, data).unfinished is None


async def back_up_into(place: Path, data: Path, key: str) -> None:
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(opened(data, key))
        backups = await open_backups(engine, stack, share=1.0)
        await backups.start(str(place), SYSTEM)
        assert backups._task is not None
        made = await backups._task
        assert made.state is BackupState.DONE, made.error


async def restore_from(place: Path, data: Path, key: str, *, overwrite: bool = False) -> None:
    await restore_into(
        under(key), world(), data, str(place), None, overwrite=overwrite, watch=lambda _what, _total: lambda _done: None
    )


async def test_a_backup_is_encrypted_and_restored_with_the_key_alone(data: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    async with opened(data, KEY) as engine:
        await fill(engine)
        before = await contents(engine)
    await back_up_into(place, data, KEY)
    assert everything_under(place)
    assert not in_plain(place)
    with pytest.raises(UserError, match="encrypted with another key"):
        await restore_from(place, tmp_path / "other", OTHER_KEY)
    fresh = tmp_path / "fresh"
    await restore_from(place, fresh, KEY)
    assert not in_plain(fresh)
    async with opened(fresh, KEY) as engine:
        assert await contents(engine) == before
    await restore_from(place, fresh, KEY, overwrite=True)
    assert not in_plain(fresh)
    async with opened(fresh, KEY) as engine:
        assert await contents(engine) == before


async def test_a_plain_backup_is_restored_into_an_encrypted_directory(data: Path, tmp_path: Path) -> None:
    place, fresh = tmp_path / "place", tmp_path / "fresh"
    async with opened(data, "") as engine:
        await fill(engine)
        before = await contents(engine)
    await back_up_into(place, data, "")
    await restore_from(place, fresh, KEY)
    assert not in_plain(fresh)
    async with opened(fresh, KEY) as engine:
        assert await contents(engine) == before
    stored = everything_under(fresh)
    with pytest.raises(UserError, match="Nothing was opened or changed"):
        await restore_from(place, fresh, OTHER_KEY, overwrite=True)
    assert everything_under(fresh) == stored


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.support.encryption import KEY, OTHER_KEY, under, world
from tocsin.app.encryption import decrypt, encrypt, rotate

left = int(sys.argv[3])

def seen(what, done, total):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

data = Path(sys.argv[1])
match sys.argv[2]:
    case "encrypt":
        asyncio.run(encrypt(under(KEY), data, world(), seen))
    case "decrypt":
        asyncio.run(decrypt(under(KEY), data, world(), seen))
    case "rotate":
        asyncio.run(rotate(under(KEY), data, world(), OTHER_KEY, rewrite=True, seen=seen))
"""


def killed_after(data: Path, change: str, steps: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(data), change, str(steps)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.process
@pytest.mark.parametrize(
    ("change", "before_key", "after_key", "command"),
    [
        ("encrypt", "", KEY, "tocsin encrypt"),
        ("rotate", KEY, OTHER_KEY, "tocsin key rotate --rewrite"),
        ("decrypt", KEY, "", "tocsin decrypt"),
    ],
    ids=["encrypt", "rotate", "decrypt"],
)
async def test_a_change_that_is_killed_at_every_step_is_finished_by_the_last_run(
    data: Path, change: str, before_key: str, after_key: str, command: str
) -> None:
    async with opened(data, before_key) as engine:
        await fill(engine)
        before = await contents(engine)
    for steps in range(100):
        run = killed_after(data, change, steps)
        if run.returncode == 0:
            break
        assert run.returncode == -9, run.stderr
        await refused(data, after_key or KEY, f"half way through `{command}`: run it again to finish it")
    else:
        raise AssertionError("it never ended")
    assert steps > 4
    if after_key:
        assert not in_plain(data)
    async with opened(data, after_key) as engine:
        assert await contents(engine) == before


def tocsin(data: Path, key: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    return subprocess.run(
        [sys.executable, "-m", "tocsin.app", *arguments],
        env={**environment, "TOCSIN_STORE__ENCRYPTION_KEY": key, "TOCSIN_DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.process
def test_a_server_that_is_killed_leaves_nothing_plain_and_goes_on(data: Path) -> None:
    settings = {"TOCSIN_STORE__ENCRYPTION_KEY": KEY, "TOCSIN_HOST__ENABLED": "false"}
    with ServerProcess(data, settings) as server:
        with server.client() as client:
            rule = {"name": "R", "metric_name": "m", "condition": ">", "threshold": 1, "duration": 0}
            client.post("/api/rules", json=rule | {"description": RUNBOOK}).raise_for_status()
            sample = {"name": "m", "value": VALUE, "tags": {"site": LABEL}}
            client.post("/api/metrics", json=sample).raise_for_status()
            (alert,) = client.get("/api/alerts", params={"state": "firing"}).json()["items"]
            assert alert["labels"]["site"] == LABEL
            client.post(f"/api/alerts/{alert['id']}/acknowledge", json={"comment": SETTING}).raise_for_status()
        server.kill()
        texts = [text.encode() for text in (LABEL, RUNBOOK, SETTING)]
        assert not [name for name, stored in everything_under(data).items() if any(text in stored for text in texts)]
        server.start()
        with server.client() as client:
            trend = client.get("/api/trends/m", params={"hours": 1}).json()
            assert (trend["min"], trend["max"]) == (VALUE, VALUE)
            (alert,) = client.get("/api/alerts", params={"state": "firing"}).json()["items"]
            assert (alert["labels"]["site"], alert["comment"]) == (LABEL, SETTING)


@pytest.mark.process
def test_the_command_line_from_a_first_key_to_a_new_one(data: Path) -> None:
    key = tocsin(data, "", "key", "new").stdout.strip()
    assert len(parse_key(key)) == 32
    assert tocsin(data, "", "store", "quagga.count", "1").returncode == 0
    said = tocsin(data, key, "store", "quagga.count", "2")
    assert (said.returncode, said.stderr.count("\n")) == (1, 1)
    assert "run `tocsin encrypt` once" in said.stderr
    assert "is encrypted" in tocsin(data, key, "encrypt").stdout
    assert tocsin(data, key, "store", "quagga.count", "3").returncode == 0
    new = data.parent / "new"
    assert tocsin(data, "", "key", "new", str(new)).stdout == ""
    assert tocsin(data, key, "key", "rotate", str(new)).returncode == 0
    before = everything_under(data)
    for arguments in (("serve", "--listen", "127.0.0.1:0"), ("token", "create", "--role", "viewer"), ("decrypt",)):
        refusal = tocsin(data, key, *arguments)
        assert (refusal.returncode, refusal.stdout) == (1, "")
        assert refusal.stderr == (
            f"tocsin: {data} is encrypted with key {fingerprint(new.read_text())}, and store.encryption_key is key "
            f"{fingerprint(key)}. Nothing was opened or changed.\n"
        )
    assert everything_under(data) == before
    status = json.loads(tocsin(data, key, "key", "status", "--json").stdout)
    assert (status["encrypted"], status["key_set"], status["unfinished"]) == (True, fingerprint(key), None)
    answer = json.loads(tocsin(data, new.read_text(), "trend", "quagga.count", "--json").stdout)
    assert (answer["min"], answer["max"]) == (1.0, 3.0)
    assert not [name for name, stored in everything_under(data).items() if b"quagga" in stored]
