import httpx
from tests.api.world import Api
from tests.support.state import AT_MS, a_letter, an_alert, announced, firing

from tocsin.model.outbox import LetterState
from tocsin.model.people import Role


async def dead_letter(api: Api) -> int:
    """A letter that nobody would take."""
    (alert,) = await api.state.alerts.save_changes([firing(an_alert(), AT_MS)])
    assert await api.state.book.announce([announced(alert, a_letter(alert, "k1"))]) == (True,)
    (letter,) = await api.state.outbox.claim(AT_MS, 60_000, 1, "node-1")
    await api.state.outbox.mark_dead(letter, "550 no such user", AT_MS)
    return letter.id


async def test_letters_are_shown_with_what_went_wrong(api: Api, admin: httpx.AsyncClient) -> None:
    letter_id = await dead_letter(api)
    (letter,) = (await admin.get("/api/outbox", params={"state": "dead"})).json()["items"]
    assert letter == {
        "id": letter_id,
        "kind": "firing",
        "receiver": "email",
        "recipient": "ops@example.net",
        "alert_id": letter["alert_id"],
        "rule_name": "High CPU Usage",
        "severity": "warning",
        "state": "dead",
        "created_at": "2027-01-15T08:00:00.000Z",
        "next_attempt_at": None,
        "attempts": 1,
        "last_error": "550 no such user",
        "answer": "",
        "sent_at": None,
        "expires_at": letter["expires_at"],
    }
    assert (await admin.get("/api/outbox")).json()["items"] == [letter]
    assert (await admin.get("/api/outbox", params={"state": ["sent", "queued"]})).json()["items"] == []


async def test_a_dead_letter_is_sent_again(api: Api, admin: httpx.AsyncClient) -> None:
    letter_id = await dead_letter(api)
    async with api.client(Role.OPERATOR) as operator:
        answer = await operator.post(f"/api/outbox/{letter_id}/resend")
    assert (answer.status_code, answer.json()["state"], answer.json()["attempts"]) == (200, LetterState.QUEUED, 0)
    assert answer.json()["next_attempt_at"] is not None
    assert (await admin.post(f"/api/outbox/{letter_id}/resend")).status_code == 409
    assert (await admin.post("/api/outbox/99/resend")).status_code == 404
