from typing import Any

import pytest

from tocsin.api.settings import ServerSettings, parse_listen
from tocsin.model.errors import UserError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8627", ("127.0.0.1", 8627)),
        ("[::1]:80", ("::1", 80)),
        (":8627", ("0.0.0.0", 8627)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_an_address_to_listen_on_is_read(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address


@pytest.mark.parametrize(
    "wrong",
    [
        {"listen": "8627"},
        {"listen": "127.0.0.1:"},
        {"listen": "127.0.0.1:65536"},
        {"listen": "127.0.0.1:-1"},
        {"external_url": "tocsin.example"},
        {"body_max": 0},
        {"trusted_proxies": ("proxy",)},
        {"secure_cookies": "sometimes"},
    ],
)
def test_a_wrong_setting_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError) as caught:
        ServerSettings(**wrong)
    assert caught.value.field == next(iter(wrong))
