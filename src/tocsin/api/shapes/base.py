"""What all shapes are made of: what is said, what is asked, a page of a list, an error."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")

Tags = dict[str, str]

Seconds = Annotated[float, Field(description="seconds")]


class Shape(BaseModel):
    """What tocsin says."""

    model_config = ConfigDict(frozen=True)


class Asked(BaseModel):
    """What a caller says; a field that does not exist is an error, so that a misspelt one is not lost."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Listed(Shape, Generic[T]):
    """A page of a list."""

    items: list[T]
    next: str | None = Field(description="pass it as `cursor` to get the next page; null on the last")


class Problem(Shape):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = Field(description="a sentence for a person")
    field: str | None = Field(default=None, description="the part of the input that is wrong; absent where unknown")


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An error, with a sentence for a person",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
