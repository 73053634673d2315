from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import pytest
from argon2 import PasswordHasher

from tocsin.access.attempts import SlowDownError
from tocsin.access.passwords import CHARS_MAX, WAITING_MAX, Passwords, check_password
from tocsin.model.errors import UserError
from tocsin.runtime.offload import InlineOffload

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

P = ParamSpec("P")
T = TypeVar("T")


class StuckOffload:
    """Runs nothing until it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        await self.go.wait()
        return work(*args, **kwargs)

    def close(self) -> None:
        pass


def passwords() -> Passwords:
    return Passwords(InlineOffload(), CHEAP)


@pytest.mark.parametrize("password", ["correct horse", "       x", "пароль-мой", "🔔🔕🔔🔕🔔🔕🔔🔕", "abcdefgh"])
def test_any_eight_characters_may_be_a_password(password: str) -> None:
    check_password(password, "anna")


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "at least 8"),
        ("", "at least 8"),
        ("x" * (CHARS_MAX - 1) + "yz", "at most 1024"),
        ("Password1", "guess"),
        ("aaaaaaaaaa", "guess"),
        ("ANNA-MARIA", "guess"),
    ],
)
def test_what_anybody_would_guess_is_refused(password: str, why: str) -> None:
    with pytest.raises(UserError, match=why) as caught:
        check_password(password, "anna-maria")
    assert caught.value.field == "password"


async def test_the_right_password_fits_and_others_do_not() -> None:
    stored = await passwords().hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert await passwords().fits(stored, "correct horse")
    assert not await passwords().fits(stored, "correct horsE")


async def test_the_same_characters_fit_however_they_were_composed() -> None:
    stored = await passwords().hash("Gro\u0308\u00dfe ist alles")
    assert await passwords().fits(stored, "Gr\u00f6\u00dfe ist alles")


async def test_nobody_fits_without_a_password_not_even_with_the_one_nobody_has() -> None:
    assert not await passwords().fits("", "")
    assert not await passwords().fits("", "nobody has this password")


async def test_a_hash_that_cannot_be_read_fits_nobody() -> None:
    assert not await passwords().fits("md5:1234", "correct horse")


async def test_text_that_is_no_unicode_and_far_too_long_text_are_just_wrong() -> None:
    stored = await passwords().hash("correct horse")
    assert not await passwords().fits(stored, "\ud800")
    assert not await passwords().fits(stored, "x" * 1_000_000)


async def test_few_wait_for_the_thread_and_the_others_are_told_to_come_back() -> None:
    offload = StuckOffload()
    checks = Passwords(offload, CHEAP)
    waiting = [asyncio.create_task(checks.fits("", "x")) for _ in range(WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(SlowDownError) as caught:
        await checks.fits("", "x")
    assert caught.value.retry_after_s == 1.0
    offload.go.set()
    assert await asyncio.gather(*waiting) == [False] * WAITING_MAX
    assert not await checks.fits("", "x")
