"""Good inputs, what fuzzing has found, and a few hundred damaged inputs of a fixed seed, for every target."""

from __future__ import annotations

import random

import pytest
from tests.fuzz.targets import TARGETS

from tocsin.model.errors import LimitError, UserError

MUTATIONS = 400

FOUND: dict[str, tuple[bytes, ...]] = {
    "influx": (b'cpu\\ a,host=x,b=c\\, usage1=5,.n\0\0\0=3i,s="a b" 1800000000000000000\n',),
    "json": (b'{"name":"a","value":1,"tags":{"b":1.5,"b":"c"}}',),
}
"""Inputs that made a target fail once."""


@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_and_past_failures(name: str) -> None:
    for given in (*TARGETS[name].seeds, *FOUND.get(name, ()), b""):
        read_or_refused(name, given)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_inputs(name: str) -> None:
    chance = random.Random(name)
    for _ in range(MUTATIONS):
        read_or_refused(name, damaged(chance.choice(TARGETS[name].seeds), chance))


def read_or_refused(name: str, given: bytes) -> None:
    try:
        TARGETS[name].run(given)
    except (UserError, LimitError):
        return


def damaged(given: bytes, chance: random.Random) -> bytes:
    data = bytearray(given)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                del data[at : at + chance.randint(1, 8)]
            case 1:
                data[at:at] = chance.randbytes(chance.randint(1, 8))
            case 2:
                data[at:at] = data[max(0, at - 16) : at]
            case _ if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
    return bytes(data)
