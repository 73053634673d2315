from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.access.world import ADDRESS, ADMIN, PASSWORD, World, open_world, over

from tocsin.access.attempts import NAME_PATIENCE, SlowDownError
from tocsin.access.keys import digest_of
from tocsin.access.people import TOKEN_NAME_CHARS_MAX, _user_name
from tocsin.model.audit import SYSTEM, Actor
from tocsin.model.duration import DAY_MS
from tocsin.model.errors import AccessError, ConflictError, NotFoundError, NotSignedInError, UserError
from tocsin.model.labels import Labels
from tocsin.model.people import Allowance, Role

ANNA = Actor("anna", ADDRESS)
NEW = "battery staple"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


async def test_a_user_is_added_with_a_hash_and_audited_without_it(world: World) -> None:
    user = await world.people.add_user("  Anna  ", PASSWORD, Role.EDITOR, ADMIN)
    assert (user.name, user.role, user.enabled) == ("Anna", Role.EDITOR, True)
    assert user.password_hash.startswith("$argon2id$")
    (entry,) = await world.entries()
    assert (entry.action, entry.actor, entry.target, entry.before) == ("user.create", ADMIN, "user Anna", None)
    assert entry.after == {"name": "Anna", "role": "editor", "enabled": True, "password": "set"}


async def test_a_name_is_taken_once_whatever_its_case(world: World) -> None:
    await world.add("anna")
    with pytest.raises(ConflictError):
        await world.add("ANNA")


@pytest.mark.parametrize(
    "name",
    ["", "   ", "x" * 65, "a\nb", "a\x00b", "a\u202eb", "a\u200bb", "\ud800", "anonymous", "Tocsin", "ci (token)"],
)
async def test_a_name_that_would_mislead_is_refused(world: World, name: str) -> None:
    with pytest.raises(UserError) as caught:
        await world.add(name)
    assert caught.value.field == "name"


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=64))
def test_an_ordinary_name_is_kept_as_it_is(name: str) -> None:
    if name.casefold() not in {"anonymous", "tocsin"}:
        assert _user_name(name) == name


async def test_a_bad_password_makes_no_user(world: World) -> None:
    with pytest.raises(UserError, match="8 characters"):
        await world.people.add_user("anna", "short", Role.VIEWER, ADMIN)
    assert await world.people.users() == ()


@pytest.mark.parametrize("change", [{"role": Role.VIEWER}, {"password": NEW}, {"enabled": False}])
async def test_a_change_ends_the_sessions_of_that_user_at_once(world: World, change: dict[str, object]) -> None:
    await world.add("boss", Role.ADMIN)
    user = await world.add()
    signed = await world.gate.sign_in("anna", PASSWORD, ADDRESS)
    await world.gate.identify(cookie=signed.cookie)
    await world.people.change_user(user.id, ADMIN, **change)  # type: ignore[arg-type] # a table of arguments
    with pytest.raises(NotSignedInError):
        await world.gate.identify(cookie=signed.cookie)


async def test_a_change_is_audited_with_both_sides_and_no_secret(world: World) -> None:
    user = await world.add()
    await world.people.change_user(user.id, ADMIN, role=Role.EDITOR, password=NEW)
    last = (await world.entries())[-1]
    assert (last.action, last.target) == ("user.change", "user anna")
    assert last.before == {"name": "anna", "role": "operator", "enabled": True, "password": "set"}
    assert last.after == {"name": "anna", "role": "editor", "enabled": True, "password": "changed"}


async def test_nobody_can_be_changed_who_is_not_there(world: World) -> None:
    with pytest.raises(NotFoundError):
        await world.people.change_user(7, ADMIN, enabled=True)


@pytest.mark.parametrize("change", [{"role": Role.EDITOR}, {"enabled": False}])
async def test_the_last_admin_cannot_step_down(world: World, change: dict[str, object]) -> None:
    boss = await world.add("boss", Role.ADMIN)
    with pytest.raises(ConflictError, match="only admin"):
        await world.people.change_user(boss.id, ADMIN, **change)  # type: ignore[arg-type] # a table of arguments
    assert await world.people.users() == (boss,)


async def test_changes_at_the_same_time_do_not_undo_each_other(world: World) -> None:
    user = await world.add()
    await asyncio.gather(
        world.people.change_user(user.id, ADMIN, enabled=False),
        world.people.change_user(user.id, ADMIN, password=NEW),
        world.people.change_user(user.id, ADMIN, role=Role.VIEWER),
    )
    changed = await world.people.user(user.id)
    assert (changed.enabled, changed.role) == (False, Role.VIEWER)
    assert changed.password_hash != user.password_hash


async def test_an_admin_sets_the_password_of_somebody_else(world: World) -> None:
    user = await world.add()
    await world.people.set_password(user.id, NEW, ADMIN)
    await world.gate.sign_in("anna", NEW, ADDRESS)
    with pytest.raises(NotSignedInError):
        await world.gate.sign_in("anna", PASSWORD, ADDRESS)


async def test_ones_own_password_changes_with_the_current_one_and_only_this_browser_stays(world: World) -> None:
    await world.add()
    here = await world.gate.sign_in("anna", PASSWORD, ADDRESS)
    there = await world.gate.sign_in("anna", PASSWORD, ADDRESS)
    signed = await world.people.set_own_password(here.principal, NEW, PASSWORD, ANNA)
    assert (await world.gate.identify(cookie=signed.cookie)).name == "anna"
    for old in (here, there):
        with pytest.raises(NotSignedInError):
            await world.gate.identify(cookie=old.cookie)


@pytest.mark.parametrize("current", [None, "", "wrong"])
async def test_ones_own_password_does_not_change_without_the_current_one(world: World, current: str | None) -> None:
    await world.add()
    signed = await world.gate.sign_in("anna", PASSWORD, ADDRESS)
    with pytest.raises(UserError) as caught:
        await world.people.set_own_password(signed.principal, NEW, current, ANNA)
    assert caught.value.field == "current"
    await world.gate.identify(cookie=signed.cookie)


async def test_guessing_the_current_password_is_slow(world: World) -> None:
    await world.add()
    signed = await world.gate.sign_in("anna", PASSWORD, ADDRESS)
    for _ in range(NAME_PATIENCE.free):
        with pytest.raises(UserError):
            await world.people.set_own_password(signed.principal, NEW, "wrong", ANNA)
    with pytest.raises(SlowDownError):
        await world.people.set_own_password(signed.principal, NEW, PASSWORD, ANNA)


async def test_a_token_has_no_password(world: World) -> None:
    _, text = await world.people.create_token("agent", Role.ADMIN, None, ADMIN)
    principal = await world.gate.identify(bearer=text)
    with pytest.raises(AccessError):
        await world.people.set_own_password(principal, NEW, None, ADMIN)


async def test_a_token_is_shown_once_and_kept_as_its_digest(world: World) -> None:
    token, text = await world.people.create_token(" grafana ", Role.VIEWER, DAY_MS, ADMIN)
    assert text.startswith("tocsin_")
    assert (token.name, token.created_by, token.digest) == ("grafana", "root", digest_of(text))
    assert token.expires_at_ms == world.clock.now_ms() + DAY_MS
    assert await world.people.tokens() == (token,)
    (entry,) = await world.entries()
    assert entry.after == {"name": "grafana", "role": "viewer", "expires_at_ms": token.expires_at_ms}
    assert text not in repr(entry)
    assert token.digest not in repr(entry)


async def test_what_a_token_is_held_to_is_changed_at_once_and_audited(world: World) -> None:
    held = Allowance(Labels.of(team="web"), rate=100, series_max=50)
    token, text = await world.people.create_token("agent", Role.WRITER, None, ADMIN, held)
    assert (await world.gate.identify(bearer=text)).allowance == held
    changed = await world.people.hold_token(token.id, lambda before: replace(before, rate=None), ADMIN)
    assert changed.allowance == replace(held, rate=None)
    assert (await world.gate.identify(bearer=text)).allowance == changed.allowance
    *_, last = await world.entries()
    assert (last.action, last.target) == ("token.change", "token agent")
    assert last.before is not None
    assert last.after is not None
    assert (last.before["rate"], last.after["rate"], last.after["labels"]) == (100, None, {"team": "web"})


async def test_only_a_token_that_is_there_can_be_held(world: World) -> None:
    with pytest.raises(NotFoundError):
        await world.people.hold_token(7, lambda before: before, ADMIN)


TEAM = Labels.of(team="web")


@pytest.mark.parametrize(
    ("role", "allowance", "field"),
    [
        (Role.EDITOR, Allowance(TEAM), "role"),
        (Role.VIEWER, Allowance(rate=1), "role"),
        (Role.WRITER, Allowance(rate=0), "rate"),
        (Role.WRITER, Allowance(TEAM, series_max=0), "series_max"),
        (Role.WRITER, Allowance(series_max=5), "series_max"),
        (Role.WRITER, Allowance(Labels.of({"__name__": "a"})), "labels"),
        (Role.WRITER, Allowance(Labels.of({"": "a"})), "labels"),
        (Role.WRITER, Allowance(Labels.of({"a\n": "a"})), "labels"),
        (Role.WRITER, Allowance(Labels.of({"a": "b\0"})), "labels"),
        (Role.WRITER, Allowance(Labels.of({"a": "b" * 256})), "labels"),
        (Role.WRITER, Allowance(Labels.of({f"l{at}": "b" for at in range(17)})), "labels"),
    ],
)
async def test_what_a_token_cannot_be_held_to_is_refused_by_its_field(
    world: World, role: Role, allowance: Allowance, field: str
) -> None:
    with pytest.raises(UserError) as told:
        await world.people.create_token("agent", role, None, ADMIN, allowance)
    assert told.value.field == field


async def test_a_deleted_token_is_audited_with_what_it_was(world: World) -> None:
    token, _ = await world.people.create_token("grafana", Role.VIEWER, None, ADMIN)
    await world.people.delete_token(token.id, ADMIN)
    last = (await world.entries())[-1]
    assert (last.action, last.target, last.after) == ("token.delete", "token grafana", None)
    with pytest.raises(NotFoundError):
        await world.people.delete_token(token.id, ADMIN)


@pytest.mark.parametrize("name", ["", "x" * (TOKEN_NAME_CHARS_MAX + 1), "a\tb"])
async def test_a_token_needs_a_proper_name(world: World, name: str) -> None:
    with pytest.raises(UserError):
        await world.people.create_token(name, Role.VIEWER, None, ADMIN)


@pytest.mark.parametrize("expires_in", [0, -1])
async def test_a_token_that_would_be_born_dead_is_refused(world: World, expires_in: int) -> None:
    with pytest.raises(UserError) as caught:
        await world.people.create_token("agent", Role.VIEWER, expires_in, ADMIN)
    assert caught.value.field == "expires_in"


async def test_the_first_start_makes_an_admin_and_a_link(world: World) -> None:
    secret = await world.people.first_start(None)
    (admin,) = await world.people.users()
    assert (admin.name, admin.role, admin.password_hash) == ("admin", Role.ADMIN, "")
    assert (await world.entries())[0].actor == SYSTEM
    assert (await world.gate.redeem_link(secret or "", ADDRESS)).user == admin


async def test_every_start_makes_a_new_link_until_there_is_a_password(world: World) -> None:
    first = await world.people.first_start(None)
    second = await world.people.first_start(None)
    assert None is not first != second
    with pytest.raises(NotSignedInError):
        await world.gate.redeem_link(first or "", ADDRESS)
    signed = await world.gate.redeem_link(second or "", ADDRESS)
    assert await world.people.first_start(None) is not None
    await world.people.set_own_password(signed.principal, NEW, None, ANNA)
    assert await world.people.first_start(None) is None
    assert len(await world.people.users()) == 1


async def test_a_given_password_lets_the_first_admin_in_without_a_link(world: World) -> None:
    assert await world.people.first_start(PASSWORD) is None
    signed = await world.gate.sign_in("admin", PASSWORD, ADDRESS)
    assert signed.user.role is Role.ADMIN
    assert PASSWORD not in repr(await world.entries())


async def test_a_password_given_at_a_later_start_is_set_where_there_is_none(world: World) -> None:
    link = await world.people.first_start(None)
    assert await world.people.first_start(PASSWORD) is None
    await world.gate.sign_in("admin", PASSWORD, ADDRESS)
    with pytest.raises(NotSignedInError):
        await world.gate.redeem_link(link or "", ADDRESS)


async def test_a_password_that_is_set_is_not_overwritten_by_a_given_one(world: World) -> None:
    await world.people.first_start(PASSWORD)
    assert await world.people.first_start(NEW) is None
    await world.gate.sign_in("admin", PASSWORD, ADDRESS)
    with pytest.raises(NotSignedInError):
        await world.gate.sign_in("admin", NEW, ADDRESS)


async def test_a_given_password_that_will_not_do_stops_the_start_and_makes_nobody(world: World) -> None:
    with pytest.raises(UserError, match="TOCSIN_ADMIN_PASSWORD"):
        await world.people.first_start("short")
    assert await world.people.users() == ()


async def test_an_admin_of_another_name_is_enough(world: World) -> None:
    await world.add("boss", Role.ADMIN)
    assert await world.people.first_start(None) is None
    assert [user.name for user in await world.people.users()] == ["boss"]


async def test_two_processes_that_start_together_make_one_admin(world: World) -> None:
    other = over(world.store)
    await asyncio.gather(world.people.first_start(None), other.people.first_start(None))
    assert [user.name for user in await world.people.users()] == ["admin"]


async def test_users_who_are_no_admins_do_not_keep_the_first_admin_out(world: World) -> None:
    await world.add("admin", Role.VIEWER)
    assert await world.people.first_start(None) is not None
    assert [(user.name, user.role) for user in await world.people.users()] == [
        ("admin", Role.VIEWER),
        ("admin2", Role.ADMIN),
    ]
