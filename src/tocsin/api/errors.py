"""One table from the error tree to HTTP. Every error is a problem document (RFC 9457) with a plain sentence."""

from __future__ import annotations

import http
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from tocsin.model.errors import (
    AccessError,
    ConflictError,
    DeliveryError,
    LimitError,
    NotFoundError,
    NotSignedInError,
    QueueFullError,
    TocsinError,
    TooLargeError,
    TransientError,
    UserError,
)
from tocsin.promql.here import EvaluationError
from tocsin.promql.parse_error import ParseError
from tocsin.rules.files import RuleFileError
from tocsin.rules.load import Problem

STATUS_OF: Mapping[type[TocsinError], int] = {
    UserError: 400,
    NotSignedInError: 401,
    AccessError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    TooLargeError: 413,
    LimitError: 422,
    EvaluationError: 422,
    QueueFullError: 429,
    DeliveryError: 502,
    TransientError: 503,
    TocsinError: 500,
}

RETRY_AFTER_S = {429: 1.0, 503: 5.0}
MEDIA_TYPE = "application/problem+json"
UNEXPECTED = "Something went wrong inside tocsin. It has been logged; try again, and look at the server's log."

_ROUTER_SAID = {
    400: "The body cannot be read; send JSON in UTF-8.",
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    413: "The body is larger than this address takes.",
}


def status_of(error: TocsinError) -> int:
    """The nearest ancestor's status; a UserError that names its field is 422: well-formed, but not right."""
    status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    return 422 if status == 400 and isinstance(error, UserError) and error.field else status


def problem(
    status: int, detail: str, *, field: str | None = None, headers: Mapping[str, str] | None = None, **more: object
) -> Response:
    """`more` are members besides the standard ones, as RFC 9457 allows."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if field:
        body["field"] = field
    return Response(msgspec.json.encode(body | more), status, headers, MEDIA_TYPE)


def problem_of(error: TocsinError, /, **more: object) -> Response:
    """`more` as for `problem`."""
    status = status_of(error)
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="tocsin"'
    if isinstance(error, TransientError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s or RETRY_AFTER_S[status])))
    return problem(status, str(error), field=getattr(error, "field", None), headers=headers, **more)


def add_handlers(app: FastAPI) -> None:
    app.add_exception_handler(TocsinError, _on_tocsin_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_tocsin_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, TocsinError)
    if isinstance(error, ParseError):
        return problem_of(error, line=error.line, column=error.column)
    if isinstance(error, RuleFileError):
        return problem_of(error, problems=[_told(each) for each in error.problems])
    return problem_of(error)


def _told(each: Problem) -> dict[str, object]:
    place = each.place
    return {
        "line": place.line,
        "column": place.column,
        "message": each.message,
        "group": each.group,
        "rule": each.rule,
    }


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_of_validation(error.errors())


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """What Starlette and FastAPI say themselves: no such path or method, a body that cannot be read."""
    assert isinstance(error, HTTPException)
    detail = _ROUTER_SAID.get(error.status_code, error.detail)
    if error.status_code == 404 and wants_page(request):
        return Response(NOT_FOUND_PAGE, 404, media_type="text/html")
    return problem(error.status_code, detail, headers=error.headers)


def wants_page(request: Request) -> bool:
    """Whether a person's browser asked for a page rather than a program for an answer."""
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")


NOT_FOUND_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Not found · tocsin</title>
<p>There is nothing at this address. <a href="/">Go to the overview.</a></p></html>
"""


def problem_of_validation(errors: Sequence[Mapping[str, Any]]) -> Response:
    """Pydantic's first complaint in plain words; 400 where the body is no JSON at all."""
    first = errors[0]
    if first["type"] == "json_invalid":
        at = first["loc"][-1]
        return problem(400, f"The body is not JSON: {first['ctx']['error']} at character {at}.")
    field = ".".join(str(part) for part in first["loc"][1:])
    if not field:
        if first["type"] == "missing":
            return problem(422, "The body is missing; send a JSON object.")
        return problem(422, "Send a JSON object, with Content-Type: application/json.")
    return problem(422, f"{field} {_plainly(first)}.", field=field)


def _plainly(complaint: Mapping[str, Any]) -> str:
    kind, context = complaint["type"], complaint.get("ctx", {})
    if kind in _WORDS:
        return _WORDS[kind].format(**context)
    message: str = complaint["msg"]
    return f"is not right: {message[:1].lower()}{message[1:]}"


_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this",
    "string_type": "must be text",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
}
