from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tocsin.model.errors import StoreError, UserError
from tocsin.store.sealing import KeyRing, key_text
from tocsin.store.vault import (
    FILE,
    Vault,
    Work,
    create,
    fingerprint,
    forget,
    keep,
    open_vault,
    unlock,
    wanted_fingerprint,
)

KEY, OTHER_KEY = key_text(bytes(range(32))), key_text(bytes(range(1, 33)))
VAULT = Vault(KeyRing.fresh().with_new(), Work.REWRITE)


def test_a_vault_comes_back_with_its_key(tmp_path: Path) -> None:
    create(tmp_path, VAULT, KEY)
    assert open_vault(tmp_path, KEY) == VAULT
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_the_same_key_in_another_writing_opens_it(tmp_path: Path) -> None:
    create(tmp_path, VAULT, KEY)
    assert open_vault(tmp_path, bytes(range(32)).hex()) == VAULT


def test_the_file_tells_no_key(tmp_path: Path) -> None:
    create(tmp_path, VAULT, KEY)
    text = (tmp_path / FILE).read_text()
    assert fingerprint(KEY) in text
    for key in VAULT.ring.keys:
        assert key.secret.hex() not in text
    assert KEY not in text
    assert fingerprint(KEY) not in (KEY, bytes(range(32)).hex())


def test_another_key_and_none_are_refused(tmp_path: Path) -> None:
    create(tmp_path, VAULT, KEY)
    with pytest.raises(UserError, match=f"key {fingerprint(KEY)}, and store.encryption_key is key"):
        open_vault(tmp_path, OTHER_KEY)
    with pytest.raises(UserError, match=r"set store\.encryption_key_file to the file of key"):
        open_vault(tmp_path, "")


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"about": "", "key_fingerprint": 3, "sealed": ""}'])
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / FILE).write_bytes(damage)
    with pytest.raises(StoreError, match=r"keyring\.json is damaged"):
        open_vault(tmp_path, KEY)


def test_a_file_that_was_changed_does_not_open(tmp_path: Path) -> None:
    create(tmp_path, VAULT, KEY)
    text = (tmp_path / FILE).read_text()
    at = text.index('"sealed": "') + 40
    (tmp_path / FILE).write_text(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :])
    with pytest.raises(StoreError, match=r"keyring\.json is damaged"):
        open_vault(tmp_path, KEY)


def test_of_two_processes_that_make_the_first_vault_both_use_the_same(tmp_path: Path) -> None:
    create(tmp_path, VAULT, KEY)
    create(tmp_path, Vault(KeyRing.fresh()), KEY)
    assert open_vault(tmp_path, KEY) == VAULT


def test_a_vault_is_replaced_under_another_key_and_forgotten(tmp_path: Path) -> None:
    create(tmp_path, VAULT, KEY)
    keep(tmp_path, replace(VAULT, work=None), OTHER_KEY)
    assert open_vault(tmp_path, OTHER_KEY) == replace(VAULT, work=None)
    assert wanted_fingerprint(tmp_path) == fingerprint(OTHER_KEY)
    forget(tmp_path)
    assert open_vault(tmp_path, "") is None
    assert wanted_fingerprint(tmp_path) is None


def test_a_directory_without_a_key_stays_plain(tmp_path: Path) -> None:
    assert unlock(tmp_path, "") is None
    assert not list(tmp_path.iterdir())


def test_a_new_directory_with_a_key_gets_a_vault_whose_state_is_yet_to_be_looked_through(tmp_path: Path) -> None:
    vault = unlock(tmp_path, KEY)
    assert vault is not None
    assert vault.work is Work.ENCRYPT
    assert unlock(tmp_path, KEY) == vault


@pytest.mark.parametrize("name", ["state.db", "samples", "samples.journal"])
def test_a_directory_with_plain_data_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="run `tocsin encrypt` once"):
        unlock(tmp_path, KEY)


@pytest.mark.parametrize("work", Work)
def test_a_change_that_has_not_finished_is_named(tmp_path: Path, work: Work) -> None:
    (tmp_path / "samples").mkdir()
    create(tmp_path, replace(VAULT, work=work), KEY)
    with pytest.raises(UserError, match=f"half way through `tocsin .*{work}`: run it again"):
        unlock(tmp_path, KEY)
