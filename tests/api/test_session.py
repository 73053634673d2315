import httpx
import pytest
from tests.api.world import PASSWORD, TESTER, Api, open_api

from tocsin.access.settings import AuthSettings
from tocsin.api.settings import ServerSettings
from tocsin.model.duration import DAY_MS, Duration
from tocsin.model.people import Role

ANNA = {"username": "anna", "password": PASSWORD}


@pytest.fixture
async def anna(api: Api) -> int:
    """A viewer with a password."""
    return (await api.services.people.add_user("anna", PASSWORD, Role.VIEWER, TESTER)).id


async def test_signing_in_sets_a_cookie_that_pages_cannot_read(api: Api, anna: int) -> None:
    async with api.client() as browser:
        answer = await browser.post("/api/session", json=ANNA)
        assert (answer.status_code, answer.json()) == (200, {"name": "anna", "role": "viewer"})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("tocsin_session=")
        attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert attributes == {"httponly", "samesite=strict", "path=/", "max-age=2592000"}
        assert (await browser.get("/api/session")).json() == {
            "name": "anna",
            "role": "viewer",
            "kind": "user",
            "permissions": ["alerts.read", "metrics.read", "retention.read", "rules.read", "scrape.read"],
            "has_password": True,
        }


async def test_over_https_the_cookie_stays_there() -> None:
    async with open_api(ServerSettings(external_url="https://tocsin.example")) as api, api.client() as browser:
        await api.services.people.add_user("anna", PASSWORD, Role.VIEWER, TESTER)
        answer = await browser.post("/api/session", json=ANNA)
        assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize(("name", "password"), [("anna", "wrong"), ("nobody", PASSWORD), ("", ""), ("a" * 255, "x")])
async def test_a_wrong_sign_in_says_the_same_whatever_was_wrong(api: Api, anna: int, name: str, password: str) -> None:
    async with api.client() as browser:
        answer = await browser.post("/api/session", json={"username": name, "password": password})
        assert answer.status_code == 401
        assert answer.json()["detail"] == "The name or the password is not right."
        assert "set-cookie" not in answer.headers


async def test_guessing_is_slowed_down(api: Api, anna: int) -> None:
    async with api.client() as browser:
        for _ in range(5):
            await browser.post("/api/session", json={**ANNA, "password": "wrong"})
        answer = await browser.post("/api/session", json=ANNA)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1


async def test_signing_out_ends_the_session(api: Api, anna: int) -> None:
    async with api.client() as browser:
        await browser.post("/api/session", json=ANNA)
        cookie = browser.cookies["tocsin_session"]
        answer = await browser.delete("/api/session")
        assert answer.status_code == 204
        assert "tocsin_session" not in browser.cookies
        for headers in ({}, {"Cookie": f"tocsin_session={cookie}"}):
            assert (await browser.get("/api/session", headers=headers)).status_code == 401


async def test_a_session_ends_by_itself() -> None:
    async with open_api(auth=AuthSettings(session=Duration(DAY_MS))) as api, api.client() as browser:
        await api.services.people.add_user("anna", PASSWORD, Role.VIEWER, TESTER)
        await browser.post("/api/session", json=ANNA)
        cookie = {"Cookie": f"tocsin_session={browser.cookies['tocsin_session']}"}
        assert (await browser.get("/api/alerts", headers=cookie)).status_code == 200
        api.clock.advance(DAY_MS)
        assert (await browser.get("/api/alerts", headers=cookie)).status_code == 401


async def test_a_link_signs_in_once_and_a_password_can_be_set(api: Api) -> None:
    link = await api.services.people.first_start(None)
    async with api.client() as browser:
        answer = await browser.post("/api/session/link", json={"link": link})
        assert answer.json() == {"name": "admin", "role": "admin"}
        assert (await browser.get("/api/session")).json()["has_password"] is False
        before = browser.cookies["tocsin_session"]
        assert (await browser.put("/api/session/password", json={"password": PASSWORD})).status_code == 204
        assert browser.cookies["tocsin_session"] != before
        assert (await browser.get("/api/session")).json()["has_password"] is True
        assert (await browser.post("/api/session/link", json={"link": link})).status_code == 401


async def test_changing_a_password_needs_the_current_one(api: Api, anna: int) -> None:
    async with api.client() as browser:
        await browser.post("/api/session", json=ANNA)
        new = {"password": "staple battery horse"}
        for more in ({}, {"current": "wrong"}):
            answer = await browser.put("/api/session/password", json=new | more)
            assert (answer.status_code, answer.json()["field"]) == (422, "current")
        short = await browser.put("/api/session/password", json={"password": "x", "current": PASSWORD})
        assert (short.status_code, short.json()["field"]) == (422, "password")
        assert (await browser.put("/api/session/password", json=new | {"current": PASSWORD})).status_code == 204
        assert (await browser.get("/api/session")).status_code == 200
        assert (await browser.post("/api/session", json={"username": "anna", **new})).status_code == 200


async def test_a_token_has_no_password(admin: httpx.AsyncClient) -> None:
    answer = await admin.put("/api/session/password", json={"password": PASSWORD})
    assert answer.status_code == 403


async def test_a_token_is_somebody_too(admin: httpx.AsyncClient) -> None:
    body = (await admin.get("/api/session")).json()
    assert (body["kind"], body["role"], body["has_password"]) == ("token", "admin", False)


async def test_with_the_cookie_only_our_own_pages_change_something(api: Api, anna: int) -> None:
    await api.services.people.change_user(anna, TESTER, role=Role.EDITOR)
    async with api.client() as browser:
        await browser.post("/api/session", json=ANNA)
        for headers, status in [
            ({"Origin": "http://tocsin.test"}, 200),
            ({"Sec-Fetch-Site": "same-origin"}, 200),
            ({"Origin": "http://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Sec-Fetch-Site": "same-site"}, 403),
        ]:
            answer = await browser.post("/api/rules/defaults", headers=headers)
            assert answer.status_code == status, headers


async def test_a_token_in_the_header_goes_before_the_cookie(api: Api, anna: int) -> None:
    async with api.client() as browser:
        await browser.post("/api/session", json=ANNA)
        headers = {"Authorization": f"Bearer {api.tokens[Role.OPERATOR]}"}
        assert (await browser.get("/api/session", headers=headers)).json()["role"] == "operator"
        assert (await browser.get("/api/session", headers={"Authorization": "Bearer x"})).status_code == 401
