"""What the API says about itself, beyond what FastAPI finds out alone."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from tocsin.api.shapes import base, samples
from tocsin.version import __version__

_REF = "#/components/schemas/{model}"
_BESIDES: tuple[type[BaseModel], ...] = (base.Problem, samples.Sample)
"""Shapes that no route declares as its model: errors, and the body that is read raw."""

SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "tocsin_session"},
}


def operation_id(route: APIRoute) -> str:
    """`list_alerts` is `listAlerts`, as a TypeScript client writes it."""
    first, *rest = route.name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def family(tag: str) -> APIRouter:
    """Routes that belong together."""
    return APIRouter(tags=[tag], generate_unique_id_function=operation_id)


def describe(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title="tocsin",
        version=__version__,
        description="Errors are `application/problem+json`. Sign in with a bearer token or the session cookie.",
        routes=app.routes,
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for model in _BESIDES:
        schemas[model.__name__] = model.model_json_schema(ref_template=_REF)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["securitySchemes"] = SECURITY
    document["security"] = [{name: []} for name in SECURITY]
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)  # every error has one shape, declared as `default`
            operation["responses"].update(base.PROBLEMS)
    components["schemas"] = dict(sorted(schemas.items()))
    return document
