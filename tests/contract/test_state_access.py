"""AccessStore and the settings on every database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.state import AT_MS, KINDS, an_entry, open_kind

from tocsin.access.ports import AccessStore
from tocsin.model.errors import ConflictError, NotFoundError
from tocsin.model.labels import Labels
from tocsin.model.matcher import parse_matcher
from tocsin.model.page import PageRequest
from tocsin.model.people import UNHELD, Allowance, Role, Session, SignInLink, Token, User
from tocsin.store.state.state import State

ADMIN = User(0, "admin", Role.ADMIN, "$argon2id$hash", created_at_ms=AT_MS)
ANNA = User(0, "Anna Müller", Role.VIEWER, "", created_at_ms=AT_MS)
TOKEN = Token(0, "grafana", Role.VIEWER, "d" * 64, "admin", AT_MS)


@pytest.fixture(params=KINDS)
async def state(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[State]:
    async with open_kind(request.param, tmp_path) as opened:
        yield opened


async def actions(state: State) -> list[str]:
    return [row.entry.action for row in (await state.access.audit(PageRequest())).items]


def a_session(digest: str, user_id: int, expires_at_ms: int = AT_MS + 10) -> Session:
    return Session(digest, user_id, AT_MS, expires_at_ms, "192.0.2.7")


def test_the_store_fits_the_port(state: State) -> None:
    port: AccessStore = state.access
    assert port is state.access


async def test_users_come_back_as_they_were_saved(state: State) -> None:
    admin = await state.access.add_user(ADMIN, an_entry("user.create"))
    anna = await state.access.add_user(ANNA, an_entry("user.create"))
    assert [replace(user, id=0) for user in (admin, anna)] == [ADMIN, ANNA]
    assert await state.access.users() == (admin, anna)
    assert await state.access.user(anna.id) == anna
    assert await state.access.user(999) is None
    assert await actions(state) == ["user.create", "user.create"]


async def test_names_are_one_whatever_their_case(state: State) -> None:
    anna = await state.access.add_user(ANNA, an_entry())
    assert await state.access.user_by_name("ANNA MÜLLER") == anna
    assert await state.access.user_by_name("anna") is None
    with pytest.raises(ConflictError, match="already"):
        await state.access.add_user(replace(ANNA, name="anna müller"), an_entry())
    assert len(await state.access.users()) == 1


async def test_a_changed_user_is_saved_and_audited(state: State) -> None:
    await state.access.add_user(ADMIN, an_entry())
    anna = await state.access.add_user(ANNA, an_entry())
    changed = replace(anna, role=Role.EDITOR, enabled=False, password_hash="h")
    assert await state.access.replace_user(changed, an_entry("user.change")) == changed
    assert await state.access.user(anna.id) == changed
    assert (await actions(state))[0] == "user.change"
    with pytest.raises(NotFoundError):
        await state.access.replace_user(replace(anna, id=999), an_entry())


@pytest.mark.parametrize("change", [{"role": Role.EDITOR}, {"password_hash": "h"}, {"enabled": False}])
async def test_a_changed_role_password_or_door_ends_the_sessions_of_that_user_alone(
    state: State, change: dict[str, object]
) -> None:
    admin = await state.access.add_user(ADMIN, an_entry())
    anna = await state.access.add_user(ANNA, an_entry())
    await state.access.add_session(a_session("a", anna.id), an_entry())
    await state.access.add_session(a_session("b", admin.id), an_entry())
    await state.access.replace_user(replace(anna, **change), an_entry())  # type: ignore[arg-type] # a table of fields
    assert await state.access.session("a") is None
    assert await state.access.session("b") is not None


async def test_a_changed_name_keeps_the_sessions(state: State) -> None:
    anna = await state.access.add_user(ANNA, an_entry())
    await state.access.add_session(a_session("a", anna.id), an_entry())
    await state.access.replace_user(replace(anna, name="Anna"), an_entry())
    assert await state.access.session("a") is not None


@pytest.mark.parametrize("change", [{"role": Role.EDITOR}, {"enabled": False}])
async def test_the_last_admin_stays_admin(state: State, change: dict[str, object]) -> None:
    admin = await state.access.add_user(ADMIN, an_entry())
    shut_out = replace(ADMIN, name="former", enabled=False)
    await state.access.add_user(shut_out, an_entry())
    with pytest.raises(ConflictError, match="only admin"):
        await state.access.replace_user(replace(admin, **change), an_entry())  # type: ignore[arg-type] # as above
    await state.access.add_user(replace(ADMIN, name="second"), an_entry())
    await state.access.replace_user(replace(admin, **change), an_entry())  # type: ignore[arg-type] # as above


async def test_a_session_is_found_until_it_is_ended(state: State) -> None:
    anna = await state.access.add_user(ANNA, an_entry())
    session = a_session("a", anna.id)
    await state.access.add_session(session, an_entry("session.start"))
    assert await state.access.session("a") == session
    assert await state.access.session("b") is None
    await state.access.end_session("a", an_entry("session.end"))
    await state.access.end_session("a", an_entry("session.end"))
    assert await state.access.session("a") is None
    assert await actions(state) == ["session.end", "session.start", "test"]


async def test_a_link_works_once_and_only_before_it_expires(state: State) -> None:
    anna = await state.access.add_user(ANNA, an_entry())
    link = SignInLink("l", anna.id, AT_MS + 10)
    await state.access.add_link(link)
    assert await state.access.redeem_link("x", AT_MS) is None
    assert await state.access.redeem_link("l", AT_MS + 10) is None
    assert await state.access.redeem_link("l", AT_MS + 9) == link
    assert await state.access.redeem_link("l", AT_MS + 9) is None


async def test_a_newer_link_takes_the_place_of_an_older_one(state: State) -> None:
    anna = await state.access.add_user(ANNA, an_entry())
    await state.access.add_link(SignInLink("old", anna.id, AT_MS + 10))
    await state.access.add_link(SignInLink("new", anna.id, AT_MS + 10))
    assert await state.access.redeem_link("old", AT_MS) is None
    assert await state.access.redeem_link("new", AT_MS) is not None


async def test_tokens_are_found_by_their_digest_until_they_are_deleted(state: State) -> None:
    token = await state.access.add_token(TOKEN, an_entry("token.create"))
    assert token == replace(TOKEN, id=token.id)
    assert await state.access.token(TOKEN.digest) == token
    assert await state.access.tokens() == (token,)
    await state.access.delete_token(token.id, an_entry("token.delete"))
    assert await state.access.token(TOKEN.digest) is None
    with pytest.raises(NotFoundError):
        await state.access.delete_token(token.id, an_entry())
    assert await actions(state) == ["token.delete", "token.create"]


async def test_what_a_token_is_held_to_is_kept(state: State) -> None:
    held = Allowance(Labels.of({"team": "web", "größe": '1"2'}), rate=1_000_000_000, series_max=5)
    held = replace(held, reads=(parse_matcher('team=~"w.*"'),))
    token = await state.access.add_token(replace(TOKEN, allowance=held), an_entry())
    assert (await state.access.tokens())[0].allowance == held
    changed = await state.access.hold_token(token.id, Allowance(rate=7), an_entry("token.change"))
    assert changed == replace(token, allowance=Allowance(rate=7))
    assert await state.access.token(TOKEN.digest) == changed
    with pytest.raises(NotFoundError):
        await state.access.hold_token(token.id + 1, UNHELD, an_entry())
    assert (await actions(state))[0] == "token.change"


async def test_the_last_use_of_a_token_only_moves_on(state: State) -> None:
    token = await state.access.add_token(TOKEN, an_entry())
    await state.access.touch_token(token.id, AT_MS + 5)
    await state.access.touch_token(token.id, AT_MS + 3)
    assert (await state.access.tokens())[0].last_used_at_ms == AT_MS + 5


async def test_what_has_expired_is_forgotten_and_the_rest_kept(state: State) -> None:
    anna = await state.access.add_user(ANNA, an_entry())
    await state.access.add_session(a_session("old", anna.id, AT_MS), an_entry())
    await state.access.add_session(a_session("new", anna.id, AT_MS + 1), an_entry())
    await state.access.add_token(replace(TOKEN, expires_at_ms=AT_MS), an_entry())
    kept = await state.access.add_token(replace(TOKEN, digest="e" * 64, expires_at_ms=AT_MS + 1), an_entry())
    forever = await state.access.add_token(replace(TOKEN, digest="f" * 64), an_entry())
    await state.access.remove_expired(AT_MS)
    assert await state.access.session("old") is None
    assert await state.access.session("new") is not None
    assert await state.access.tokens() == (kept, forever)


async def test_the_audit_log_is_newest_first_in_pages(state: State) -> None:
    for number in range(5):
        await state.access.record(an_entry(f"action {number}", AT_MS + number))
    first = await state.access.audit(PageRequest(limit=3))
    second = await state.access.audit(PageRequest(limit=3, cursor=first.next))
    rows = first.items + second.items
    assert [row.entry for row in rows] == [an_entry(f"action {n}", AT_MS + n) for n in (4, 3, 2, 1, 0)]
    assert second.next is None


async def test_an_entry_may_have_no_sides_and_strange_text(state: State) -> None:
    entry = replace(an_entry(), before=None, after={"name": "\0\ud800 <b>", "list": [1, None, {"a": 1.5}]})
    await state.access.record(entry)
    (row,) = (await state.access.audit(PageRequest())).items
    assert row.entry == entry


async def test_settings_are_put_replaced_and_forgotten(state: State) -> None:
    assert await state.settings.get("a") is None
    await state.settings.put("a", {"x": [1, "ü", None]}, an_entry("settings.change"))
    await state.settings.put("b", 5, an_entry("settings.change"))
    await state.settings.put("b", 6, an_entry("settings.change"))
    assert await state.settings.all() == {"a": {"x": [1, "ü", None]}, "b": 6}
    await state.settings.put("a", None, an_entry("settings.change"))
    assert await state.settings.all() == {"b": 6}
    assert await state.settings.get("b") == 6
    assert await actions(state) == ["settings.change"] * 4
