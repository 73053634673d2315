from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.access.world import ADDRESS, ADMIN, PASSWORD, World, open_world, over

from tocsin.access.attempts import NAME_PATIENCE, SlowDownError
from tocsin.access.gate import Permission, Principal, PrincipalKind
from tocsin.access.keys import FRESH_S, KEYS_MAX, Keys, digest_of
from tocsin.model.audit import Actor
from tocsin.model.duration import DAY_MS
from tocsin.model.errors import AccessError, NotSignedInError, StoreError, UserError
from tocsin.model.people import Role, Token
from tocsin.runtime.clock import FixedClock
from tocsin.store.state.access import Access

FRESH_MS = round(FRESH_S * 1_000)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


class Counting(Access):
    """Counts what the gate asks; `away` makes the database go away."""

    reads = touches = 0
    away = False

    async def token(self, digest: str) -> Token | None:
        self.reads += 1
        return await super().token(digest)

    async def touch_token(self, token_id: int, at_ms: int) -> None:
        self.touches += 1
        if self.away:
            raise StoreError("away")
        await super().touch_token(token_id, at_ms)


def counting(world: World) -> tuple[World, Counting]:
    store = Counting(world.store._database)
    return over(store), store


async def test_the_right_password_opens_a_session_that_its_cookie_names(world: World) -> None:
    user = await world.add()
    signed = await world.gate.sign_in(" Anna ", PASSWORD, ADDRESS)
    assert (signed.user, signed.max_age_s) == (user, 30 * 86_400)
    principal = await world.gate.identify(cookie=signed.cookie)
    assert principal == signed.principal
    assert principal == Principal("anna", Role.OPERATOR, PrincipalKind.USER, user_id=user.id, has_password=True)


@pytest.mark.parametrize(
    ("name", "password"), [("anna", "wrong"), ("nobody", PASSWORD), ("n" * 999, PASSWORD), ("", "")]
)
async def test_whatever_is_wrong_gets_the_same_answer_and_is_audited(world: World, name: str, password: str) -> None:
    await world.add()
    with pytest.raises(NotSignedInError, match="The name or the password is not right"):
        await world.gate.sign_in(name, password, ADDRESS)
    last = (await world.entries())[-1]
    shown = name[:64].replace("\ud800", "?").replace("\0", "\ufffd")
    assert (last.action, last.actor) == ("session.refuse", Actor(shown, ADDRESS))
    assert world.count("refused") == 1


async def test_a_user_who_is_shut_out_cannot_sign_in_with_the_right_password(world: World) -> None:
    user = await world.add()
    await world.people.change_user(user.id, ADMIN, enabled=False)
    with pytest.raises(NotSignedInError, match="not right"):
        await world.gate.sign_in("anna", PASSWORD, ADDRESS)


async def test_after_too_many_failures_even_the_right_password_has_to_wait(world: World) -> None:
    await world.add()
    for _ in range(NAME_PATIENCE.free):
        with pytest.raises(NotSignedInError):
            await world.gate.sign_in("anna", "wrong", ADDRESS)
    with pytest.raises(SlowDownError):
        await world.gate.sign_in("anna", PASSWORD, ADDRESS)
    assert world.count("told to wait") == 1
    world.clock.advance(1_000)
    await world.gate.sign_in("anna", PASSWORD, ADDRESS)
    assert world.count("accepted") == 1


async def test_signing_in_is_audited_without_any_secret(world: World) -> None:
    await world.add()
    signed = await world.gate.sign_in("anna", PASSWORD, ADDRESS)
    entries = await world.entries()
    assert entries[-1].action == "session.start"
    assert entries[-1].actor == Actor("anna", ADDRESS)
    assert not any(secret in repr(entries) for secret in (PASSWORD, signed.cookie, "argon2", digest_of(signed.cookie)))


async def test_only_the_digest_of_a_cookie_is_kept(world: World) -> None:
    await world.add()
    signed = await world.gate.sign_in("anna", PASSWORD, ADDRESS)
    assert await world.store.session(signed.cookie) is None
    assert await world.store.session(digest_of(signed.cookie)) is not None


async def test_signing_out_ends_the_session_at_once(world: World) -> None:
    await world.add()
    signed = await world.gate.sign_in("anna", PASSWORD, ADDRESS)
    await world.gate.identify(cookie=signed.cookie)
    await world.gate.sign_out(signed.cookie, Actor("anna", ADDRESS))
    with pytest.raises(NotSignedInError, match="session has ended"):
        await world.gate.identify(cookie=signed.cookie)
    assert (await world.actions())[-1] == "session.end"


async def test_a_session_ends_at_its_time_to_the_millisecond(world: World) -> None:
    await world.add()
    signed = await world.gate.sign_in("anna", PASSWORD, ADDRESS)
    world.clock.advance(30 * DAY_MS - 1)
    await world.gate.identify(cookie=signed.cookie)
    world.clock.advance(1)
    with pytest.raises(NotSignedInError):
        await world.gate.identify(cookie=signed.cookie)


async def test_a_link_signs_its_user_in_once(world: World) -> None:
    secret = await world.people.first_start(None)
    assert secret is not None
    signed = await world.gate.redeem_link(secret, ADDRESS)
    assert (signed.user.name, signed.user.role, signed.principal.has_password) == ("admin", Role.ADMIN, False)
    with pytest.raises(NotSignedInError, match="has been used"):
        await world.gate.redeem_link(secret, ADDRESS)


async def test_a_link_expires(world: World) -> None:
    secret = await world.people.first_start(None)
    world.clock.advance(DAY_MS)
    with pytest.raises(NotSignedInError):
        await world.gate.redeem_link(secret or "", ADDRESS)


async def test_guessing_links_is_slow_too(world: World) -> None:
    for number in range(20):
        with pytest.raises(NotSignedInError):
            await world.gate.redeem_link(f"guess {number}", ADDRESS)
    with pytest.raises(SlowDownError):
        await world.gate.redeem_link("guess", ADDRESS)


async def test_a_token_names_a_caller_who_cannot_be_taken_for_a_user(world: World) -> None:
    token, text = await world.people.create_token("grafana", Role.VIEWER, None, ADMIN)
    principal = await world.gate.identify(bearer=text, cookie="whatever")
    assert principal == Principal("grafana (token)", Role.VIEWER, PrincipalKind.TOKEN, token_id=token.id)
    assert principal.actor(ADDRESS) == Actor("grafana (token)", ADDRESS)


@pytest.mark.parametrize("bearer", ["", "tocsin_unknown", "x" * 100_000, "\ud800", "ü"])
async def test_a_token_that_is_none_is_refused(world: World, bearer: str) -> None:
    with pytest.raises(NotSignedInError):
        await world.gate.identify(bearer=bearer)


async def test_a_deleted_token_is_refused_at_once(world: World) -> None:
    token, text = await world.people.create_token("grafana", Role.VIEWER, None, ADMIN)
    await world.gate.identify(bearer=text)
    await world.people.delete_token(token.id, ADMIN)
    with pytest.raises(NotSignedInError):
        await world.gate.identify(bearer=text)


async def test_a_token_ends_at_its_time_also_while_it_is_remembered(world: World) -> None:
    _, text = await world.people.create_token("grafana", Role.VIEWER, 1_000, ADMIN)
    world.clock.advance(999)
    await world.gate.identify(bearer=text)
    world.clock.advance(1)
    with pytest.raises(NotSignedInError):
        await world.gate.identify(bearer=text)


async def test_without_a_key_nobody_comes_in(world: World) -> None:
    with pytest.raises(NotSignedInError, match="Sign in"):
        await world.gate.identify()


async def test_everybody_may_have_a_role_where_that_is_set() -> None:
    async with open_world(anonymous_role="viewer") as world:
        anonymous = Principal("anonymous", Role.VIEWER, PrincipalKind.ANONYMOUS)
        assert await world.gate.identify() == anonymous
        assert await world.gate.identify(cookie="old") == anonymous
        with pytest.raises(NotSignedInError):
            await world.gate.identify(bearer="wrong")
        world.gate.require(anonymous, Permission.METRICS_READ)
        with pytest.raises(NotSignedInError, match="operator"):
            world.gate.require(anonymous, Permission.ALERTS_ACKNOWLEDGE)


async def test_an_anonymous_role_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(UserError, match="no role"):
        async with open_world(anonymous_role="everything"):
            pass


def test_who_may_not_is_told_which_role_may(world: World) -> None:
    viewer = Principal("anna", Role.VIEWER, PrincipalKind.USER)
    with pytest.raises(AccessError, match="needs the role operator or editor or admin; anna is viewer"):
        world.gate.require(viewer, Permission.ALERTS_ACKNOWLEDGE)


def test_one_of_several_permissions_is_enough_and_none_asks_for_nothing(world: World) -> None:
    writer = Principal("agent", Role.WRITER, PrincipalKind.TOKEN)
    world.gate.check(writer, ())
    world.gate.check(writer, (Permission.METRICS_READ, Permission.METRICS_WRITE))
    with pytest.raises(AccessError):
        world.gate.check(writer, (Permission.METRICS_READ, Permission.ALERTS_READ))


async def test_a_token_is_read_once_in_a_while_however_often_it_is_used(world: World) -> None:
    _, text = await world.people.create_token("agent", Role.WRITER, None, ADMIN)
    server, store = counting(world)
    for _ in range(100):
        await server.gate.identify(bearer=text)
    assert (store.reads, store.touches) == (1, 1)


async def test_the_last_use_is_written_once_a_minute(world: World) -> None:
    _, text = await world.people.create_token("agent", Role.WRITER, None, ADMIN)
    server, store = counting(world)
    for _ in range(24):
        await server.gate.identify(bearer=text)
        server.clock.advance(FRESH_MS)
    assert (store.reads, store.touches) == (24, 2)
    assert (await store.tokens())[0].last_used_at_ms == FixedClock().at_ms + 60_000


async def test_a_push_is_taken_though_the_last_use_cannot_be_written(world: World) -> None:
    _, text = await world.people.create_token("agent", Role.WRITER, None, ADMIN)
    server, store = counting(world)
    store.away = True
    assert (await server.gate.identify(bearer=text)).role is Role.WRITER


async def test_what_another_process_changed_is_seen_within_seconds(world: World) -> None:
    user = await world.add()
    token, text = await world.people.create_token("agent", Role.WRITER, None, ADMIN)
    signed = await world.gate.sign_in("anna", PASSWORD, ADDRESS)
    server = over(world.store)
    await server.gate.identify(bearer=text)
    await server.gate.identify(cookie=signed.cookie)
    await world.people.delete_token(token.id, ADMIN)
    await world.people.change_user(user.id, ADMIN, enabled=False)
    server.clock.advance(FRESH_MS)
    with pytest.raises(NotSignedInError):
        await server.gate.identify(bearer=text)
    with pytest.raises(NotSignedInError):
        await server.gate.identify(cookie=signed.cookie)


def test_what_is_remembered_is_bounded() -> None:
    keys = Keys(FixedClock())
    someone = Principal("agent", Role.WRITER, PrincipalKind.TOKEN)
    for number in range(KEYS_MAX + 10):
        keys.put(str(number), someone, None, keys.generation)
    assert len(keys) == KEYS_MAX
    assert keys.get("0") is None
    assert keys.get(str(KEYS_MAX)) is someone


def test_what_was_read_before_a_change_is_not_remembered() -> None:
    keys = Keys(FixedClock())
    before = keys.generation
    keys.clear()
    keys.put("digest", Principal("agent", Role.ADMIN, PrincipalKind.TOKEN), None, before)
    assert keys.get("digest") is None
