"""`python -m tocsin.api.openapi` prints the API's description, for the UI's types; no store is needed."""

from __future__ import annotations

import json
import sys
from typing import Any

from fastapi import FastAPI

from tocsin.api.description import describe
from tocsin.api.server import add_routes


def openapi_document() -> dict[str, Any]:
    """The same document on every machine and in every run."""
    app = FastAPI(openapi_url=None)
    add_routes(app)
    return describe(app)


if __name__ == "__main__":
    json.dump(openapi_document(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
