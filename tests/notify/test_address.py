from __future__ import annotations

import pytest

from tocsin.model.errors import UserError
from tocsin.notify.address import parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ops@example.org", "ops@example.org"),
        ("<ops@example.org>", "ops@example.org"),
        ("Operations <ops@example.org>", "Operations <ops@example.org>"),
        ('"Night, shift" <ops@example.org>', '"Night, shift" <ops@example.org>'),
        ("root@localhost", "root@localhost"),
        ("root@[127.0.0.1]", "root@[127.0.0.1]"),
        ("ops@bücher.example", "ops@xn--bcher-kva.example"),
    ],
)
def test_an_address_is_read(text: str, address: str) -> None:
    assert str(parse_address(text)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ops",
        "@example.org",
        "ops@",
        "ops@example..org",
        "a@example.org, b@example.org",
        "Ops <a@example.org>, b@example.org",
        "ops@example.org\r\nBcc: x@example.net",
        "ops@example.org> SIZE=1",
        "a b@example.org",
        "ops@example.org (on call)",
        "=?utf-8?q?=0D=0ABcc:_x@example.net?= <ops@example.org>",
        "x" * 400 + "@example.org",
    ],
)
def test_what_is_not_exactly_one_address_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is not an e-mail address"):
        parse_address(text)
