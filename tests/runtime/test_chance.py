from __future__ import annotations

import re

from tocsin.runtime.chance import fresh_chance, new_secret


def test_a_secret_is_43_url_safe_characters_and_never_the_same() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", secret) for secret in secrets)


def test_two_fresh_generators_differ() -> None:
    assert fresh_chance().random() != fresh_chance().random()
