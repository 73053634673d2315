import pytest
from starlette.requests import HTTPConnection

from tocsin.api.origin import Origins
from tocsin.api.settings import ServerSettings
from tocsin.model.errors import AccessError

BEHIND_PROXY = ServerSettings(trusted_proxies=("10.0.0.0/8", "::1"), external_url="https://tocsin.example/")


def connection(client: str = "192.0.2.1", scheme: str = "http", **headers: str) -> HTTPConnection:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "scheme": scheme,
        "server": ("a", 80),
        "path": "/",
        "headers": raw,
        "client": (client, 5),
    }
    return HTTPConnection(scope)


@pytest.mark.parametrize(
    ("client", "forwarded", "address"),
    [
        ("192.0.2.1", "198.51.100.9", "192.0.2.1"),
        ("10.1.2.3", "198.51.100.9", "198.51.100.9"),
        ("10.1.2.3", "1.2.3.4, 198.51.100.9, 10.9.9.9", "198.51.100.9"),
        ("10.1.2.3", "198.51.100.9, nonsense", "10.1.2.3"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "10.0.0.1, 10.0.0.2", "10.0.0.1"),
        ("::1", "2001:db8::7", "2001:db8::7"),
    ],
)
def test_only_trusted_proxies_say_who_the_client_is(client: str, forwarded: str, address: str) -> None:
    assert Origins(BEHIND_PROXY).address(connection(client, x_forwarded_for=forwarded)) == address


def test_without_trusted_proxies_the_socket_is_believed() -> None:
    assert Origins(ServerSettings()).address(connection(x_forwarded_for="10.0.0.1")) == "192.0.2.1"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec_fetch_site": "same-origin", "origin": "https://elsewhere.example", "host": "a:1"},
        {"sec_fetch_site": "none"},
        {"origin": "http://a:8627", "host": "a:8627"},
        {"origin": "HTTP://A:8627", "host": "a:8627"},
        {"origin": "https://tocsin.example", "host": "backend:8627"},
    ],
)
def test_our_own_pages_and_programs_pass(headers: dict[str, str]) -> None:
    Origins(BEHIND_PROXY).check_same(connection(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "null", "host": "a:8627"},
        {"origin": "http://a:8628", "host": "a:8627"},
        {"origin": "http://evil.example", "host": "a:8627"},
        {"origin": "http://evil.example"},
        {"origin": "http://tocsin.example", "host": "a"},
        {"origin": "", "host": ""},
    ],
)
def test_pages_of_other_sites_do_not(headers: dict[str, str]) -> None:
    with pytest.raises(AccessError, match="another site"):
        Origins(BEHIND_PROXY).check_same(connection(**headers))


@pytest.mark.parametrize(
    ("settings", "asked", "secure"),
    [
        (ServerSettings(), connection(), False),
        (ServerSettings(), connection(scheme="https"), True),
        (ServerSettings(external_url="https://tocsin.example"), connection(), True),
        (ServerSettings(secure_cookies="never"), connection(scheme="https"), False),
        (ServerSettings(secure_cookies="always"), connection(), True),
        (ServerSettings(), connection(x_forwarded_proto="https"), False),
        (ServerSettings(trusted_proxies=("10.0.0.1",)), connection("10.0.0.1", x_forwarded_proto="https"), True),
    ],
)
def test_the_cookie_is_secure_where_the_page_is(settings: ServerSettings, asked: HTTPConnection, secure: bool) -> None:
    assert Origins(settings).secure(asked) is secure
