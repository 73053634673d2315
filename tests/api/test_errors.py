from typing import Any

import msgspec
import pytest

from tocsin.api.errors import problem_of, problem_of_validation
from tocsin.model import errors
from tocsin.model.errors import (
    AccessError,
    ConflictError,
    DeliveryError,
    LimitError,
    MetricLimitError,
    NotFoundError,
    NotSignedInError,
    QueueFullError,
    StoreError,
    TocsinError,
    TooLargeError,
    TransientError,
    UserError,
)

CASES: list[tuple[TocsinError, int, dict[str, str]]] = [
    (UserError("Say what."), 400, {}),
    (UserError("Not that.", field="name"), 422, {}),
    (NotSignedInError("Sign in."), 401, {"www-authenticate": 'Bearer realm="tocsin"'}),
    (AccessError("You may not."), 403, {}),
    (NotFoundError("There is none."), 404, {}),
    (ConflictError("It is there.", field="name"), 409, {}),
    (TooLargeError("Too large."), 413, {}),
    (LimitError("Ask for less."), 422, {}),
    (MetricLimitError("Too many series."), 422, {}),
    (QueueFullError("Full."), 429, {"retry-after": "1"}),
    (QueueFullError("Full.", retry_after_s=2.2), 429, {"retry-after": "3"}),
    (DeliveryError("Refused.", permanent=True), 502, {}),
    (StoreError("Away."), 503, {"retry-after": "5"}),
    (TransientError("Later.", retry_after_s=0.1), 503, {"retry-after": "1"}),
    (TocsinError("Odd."), 500, {}),
]


@pytest.mark.parametrize(("error", "status", "headers"), CASES, ids=lambda case: type(case).__name__)
def test_each_error_has_its_status_and_sentence(error: TocsinError, status: int, headers: dict[str, str]) -> None:
    answer = problem_of(error)
    body = msgspec.json.decode(answer.body)
    assert answer.status_code == body["status"] == status
    assert answer.media_type == "application/problem+json"
    assert body["detail"] == str(error)
    assert body.get("field") == getattr(error, "field", None)
    assert headers.items() <= dict(answer.headers).items()


def test_no_error_of_the_tree_is_forgotten() -> None:
    tree = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TocsinError)}
    assert tree == {type(error) for error, _, _ in CASES}


@pytest.mark.parametrize(
    ("complaint", "status", "detail", "field"),
    [
        ({"type": "missing", "loc": ("body", "name"), "msg": "…"}, 422, "name is missing.", "name"),
        ({"type": "missing", "loc": ("body",), "msg": "…"}, 422, "The body is missing; send a JSON object.", None),
        (
            {"type": "enum", "loc": ("query", "state", 0), "msg": "…", "ctx": {"expected": "'a' or 'b'"}},
            422,
            "state.0 must be one of 'a' or 'b'.",
            "state.0",
        ),
        (
            {"type": "less_than_equal", "loc": ("query", "limit"), "msg": "…", "ctx": {"le": 1000}},
            422,
            "limit must be at most 1000.",
            "limit",
        ),
        (
            {"type": "unheard_of", "loc": ("body", "x"), "msg": "Input should be odd"},
            422,
            "x is not right: input should be odd.",
            "x",
        ),
        (
            {"type": "json_invalid", "loc": ("body", 7), "msg": "…", "ctx": {"error": "Expecting value"}},
            400,
            "The body is not JSON: Expecting value at character 7.",
            None,
        ),
    ],
)
def test_a_wrong_input_is_named_in_plain_words(
    complaint: dict[str, Any], status: int, detail: str, field: str | None
) -> None:
    answer = problem_of_validation([complaint])
    body = msgspec.json.decode(answer.body)
    assert (answer.status_code, body["detail"], body.get("field")) == (status, detail, field)
