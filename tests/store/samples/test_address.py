"""Addresses of ClickHouse servers."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.duration import Duration
from tocsin.model.errors import UserError
from tocsin.store.samples.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("clickhouse://db", None),
        ("clickhouse://db/m", Address("db", 8123, "m")),
        (" clickhouse://db:1/m\n", Address("db", 1, "m")),
        ("clickhouse://u@db/m", Address("db", 8123, "m", "u")),
        ("clickhouse://u%2F:p%40%3A%2f@db/m", Address("db", 8123, "m", "u/", "p@:/")),
        ("clickhouse://[::1]:9/m", Address("::1", 9, "m")),
        ("clickhouses://db/m", Address("db", 8443, "m", secure=True)),
        ("clickhouse://db/m?secure=1", Address("db", 8443, "m", secure=True)),
        ("clickhouse://db:1/m?secure=true&verify=0", Address("db", 1, "m", secure=True, verify=False)),
        ("clickhouse://db/m?compress=no", Address("db", 8123, "m", compress=False)),
        ("clickhouse://db/m?write_timeout=2m", Address("db", 8123, "m", write_timeout=Duration(120_000))),
        ("clickhouse://db/m?cluster=a-1.b", Address("db", 8123, "m", cluster="a-1.b")),
        ("clickhouse://db/m?cluster=a&quorum=auto", Address("db", 8123, "m", cluster="a", quorum="auto")),
        ("clickhouse://db/m?quorum=2&cluster=a", Address("db", 8123, "m", cluster="a", quorum="2")),
        ("clickhouses://db/m?ca_cert=/a.pem", Address("db", 8443, "m", secure=True, ca_cert="/a.pem")),
    ],
)
def test_an_address_is_read(text: str, wanted: Address | None) -> None:
    if wanted is None:
        with pytest.raises(UserError, match="names no database"):
            parse_address(text)
    else:
        assert parse_address(text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no scheme that is known"),
        ("postgresql://db/m", "no scheme that is known"),
        ("db:8123/m", "no scheme that is known"),
        ("clickhouse:///m", "names no host"),
        ("clickhouse://db:port/m", "cannot be read"),
        ("clickhouse://db:99999/m", "cannot be read"),
        ("clickhouse://db/a/b", "must be a plain name"),
        ("clickhouse://db/a-b", "must be a plain name"),
        ("clickhouse://db/1a", "must be a plain name"),
        ("clickhouse://db/m?secur=1", "there is no option secur; did you mean secure?"),
        ("clickhouse://db/m?writetimeout=1", "did you mean write_timeout?"),
        ("clickhouse://db/m?xyz=1", "there is no option xyz; there are secure, verify"),
        ("clickhouse://db/m?secure=maybe", "secure: write 1 or 0"),
        ("clickhouse://db/m?write_timeout=soon", "write_timeout: 'soon' is not a duration"),
        ("clickhouse://db/m?cluster=a'b", "cluster: write the name of a cluster"),
        ("clickhouse://db/m?cluster=a&quorum=most", "quorum: write auto, or the number"),
        ("clickhouse://db/m?cluster=a&quorum=0", "quorum: write auto, or the number"),
        ("clickhouse://db/m?quorum=2", "quorum needs a cluster"),
        ("clickhouse://db/m?ca_cert=/a.pem", "ca_cert is for TLS; begin the URL with clickhouses://"),
        ("clickhouse://db/m?secure=0&verify=0", "verify is for TLS"),
        ("clickhouse://db/m?ca_cert=", "ca_cert: name a file"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_address(text)
    assert said in str(caught.value)
    assert caught.value.field == "url"


@pytest.mark.parametrize(
    "text",
    [
        "clickhouse://user:se/cret@db/m",
        "clickhouse://user:12/cret@db/m",
        "clickhouse://user:12?cret=1@db/m",
        "clickhouse://user:12#cret@db/m",
        "clickhouse://user:cret@db/m?nothing=1",
        "clickhouse://user:cret@db/",
        "http://user:cret@db/m",
    ],
)
def test_no_sentence_shows_the_password(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_address(text)
    assert "cret" not in str(caught.value)


@given(password=st.text(max_size=12), options=st.sampled_from(["", "?secure=1", "?secur=1", "?write_timeout=x"]))
def test_whatever_the_password_is_it_is_read_or_not_shown(password: str, options: str) -> None:
    secret = f"Zq{password}qZ"
    told: object
    try:
        told = parse_address(f"clickhouse://user:{secret}@db/m{options}")
    except UserError as error:
        told = error
    assert "Zq" not in f"{told} {told!r}"
    assert "qZ" not in f"{told} {told!r}"
    if not options:
        assert parse_address(f"clickhouse://user:{quote(secret, safe='')}@db/m").password == secret


def test_neither_the_name_nor_the_form_of_an_address_shows_the_password() -> None:
    address = parse_address("clickhouse://user:secret@db/m")
    assert str(address) == "db:8123/m"
    assert "secret" not in repr(address)
