"""The built web UI, read once into memory: no path of a request ever reaches the file system."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BUILT = Path(__file__).parent / "static"
INDEX = "index.html"
HASHED = "assets/"
"""Vite puts a hash of the content into the names of the files in here, so that they never change."""

_GZIP_MIN = 1_024
_PACKABLE = ("text/", "application/javascript", "application/json", "image/svg+xml", "application/manifest+json")

NOT_BUILT_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>tocsin</title>
<p>tocsin is running, but its web pages have not been built: run <code>make ui</code> and start it again.</p></html>
"""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the site, plain and packed (None where packing does not pay)."""

    body: bytes
    packed: bytes | None
    media_type: str
    etag: str
    cache_control: str


def read_site(root: Path) -> dict[str, Asset]:
    """Every file under `root` by its URL path; empty where nothing was built."""
    return {f"/{path.relative_to(root).as_posix()}": _read(path, root) for path in _files(root)}


def site_routes(assets: dict[str, Asset]) -> Iterator[Route]:
    index = assets.get(f"/{INDEX}")
    for path, asset in assets.items():
        yield Route(path, _serving(asset), methods=["GET"], include_in_schema=False)
    yield Route("/", _serving(index) if index else _not_built, methods=["GET"], include_in_schema=False)


def _serving(asset: Asset) -> Callable[[Request], Awaitable[Response]]:
    headers = {"ETag": asset.etag, "Cache-Control": asset.cache_control, "Vary": "Accept-Encoding"}

    async def serve(request: Request) -> Response:
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        if asset.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            packed = {**headers, "Content-Encoding": "gzip"}
            return Response(asset.packed, media_type=asset.media_type, headers=packed)
        return Response(asset.body, media_type=asset.media_type, headers=headers)

    return serve


async def _not_built(_: Request) -> Response:
    return Response(NOT_BUILT_PAGE, media_type="text/html", headers={"Cache-Control": "no-cache"})


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else []


def _read(path: Path, root: Path) -> Asset:
    body = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    packable = len(body) >= _GZIP_MIN and media_type.startswith(_PACKABLE)
    hashed = path.relative_to(root).as_posix().startswith(HASHED)
    return Asset(
        body,
        gzip.compress(body, mtime=0) if packable else None,
        media_type,
        f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"',
        "public, max-age=31536000, immutable" if hashed else "no-cache",
    )
