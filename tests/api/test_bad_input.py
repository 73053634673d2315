"""What bad input gets: a status, and a sentence that says what is wrong and where."""

import httpx
import pytest

RANGE = "/api/metrics/range?name=cpu"

GETS = [
    ("/api/rules?limit=0", 422, "limit must be at least 1."),
    ("/api/rules?limit=1001", 422, "limit must be at most 1000."),
    ("/api/rules?limit=many", 422, "limit must be a whole number."),
    ("/api/rules?cursor=nonsense", 422, "cursor"),
    ("/api/alerts?cursor=nonsense", 422, "cursor"),
    ("/api/alerts?state=on", 422, "state.0 must be one of"),
    ("/api/alerts?severity=bad", 422, "severity must be one of"),
    ("/api/alerts?rule_id=x", 422, "rule_id must be a whole number."),
    ("/api/alerts/x", 422, "alert_id must be a whole number."),
    ("/api/alerts/0", 422, "alert_id must be at least 1."),
    ("/api/alerts/99999999999999999999", 422, "alert_id must be at most"),
    ("/api/alerts/7", 404, "7"),
    ("/api/history?since=yesterday", 422, "since is not a time"),
    ("/api/history?until=2026-01-01", 422, "until is not a time"),
    ("/api/outbox?state=lost", 422, "state.0 must be one of"),
    ("/api/metrics/series", 422, "Say which metric"),
    ("/api/metrics/series?name=cpu&match=nonsense", 422, "is not a matcher"),
    ("/api/metrics/range", 422, "Say which metric"),
    (f'{RANGE}&match=a%3D~"("', 422, "not a regular expression"),
    (f"{RANGE}&step=often", 422, "is not a duration"),
    (f"{RANGE}&step=0", 422, "step must be at least 1ms."),
    (f"{RANGE}&step=1ms", 422, "steps"),
    (f"{RANGE}&start=soon", 422, "start is not a time"),
    (f"{RANGE}&start=20&end=10", 422, "start must be before end."),
    ("/api/trends/cpu?hours=0", 422, "hours must be more than 0."),
    ("/api/trends/cpu?hours=nan", 422, "hours"),
    ("/api/trends/cpu?hours=1e9", 422, "hours must be at most"),
]


@pytest.mark.parametrize(("path", "status", "sentence"), GETS, ids=[path for path, _, _ in GETS])
async def test_a_wrong_question_is_answered_with_a_sentence(
    admin: httpx.AsyncClient, path: str, status: int, sentence: str
) -> None:
    answer = await admin.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert sentence in answer.json()["detail"]
    assert answer.json()["detail"].endswith(".")


JSON = "application/json"
BODIES = [
    (b"{", JSON, 400, "The body is not JSON"),
    (b"\xff", JSON, 400, "."),
    (b"[" * 100_000, JSON, 400, "."),
    (b"", JSON, 422, "The body is missing; send a JSON object."),
    (b"null", JSON, 422, "Send a JSON object"),
    (b"[]", JSON, 422, "Send a JSON object"),
    (b'"x"', JSON, 422, "Send a JSON object"),
    (b"{}", JSON, 422, "name is missing."),
    (b"{}", "text/plain", 422, "with Content-Type: application/json"),
    (b"a=b", "application/x-www-form-urlencoded", 422, "with Content-Type: application/json"),
    (b'{"name": 5}', JSON, 422, "name must be text."),
    (b'{"name": "' + b"x" * 300_000 + b'"}', JSON, 413, "larger than 262144 bytes"),
]


@pytest.mark.parametrize(("body", "kind", "status", "sentence"), BODIES, ids=range(len(BODIES)))
async def test_a_wrong_body_is_answered_with_a_sentence(
    admin: httpx.AsyncClient, body: bytes, kind: str, status: int, sentence: str
) -> None:
    answer = await admin.post("/api/rules", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert sentence in answer.json()["detail"]
