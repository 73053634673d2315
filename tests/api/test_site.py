import gzip
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from tocsin.api.site import read_site, site_routes

SCRIPT = "console.log('tocsin');" * 200


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>tocsin</title>")
    (tmp_path / "favicon.svg").write_text("<svg/>")
    (tmp_path / "assets" / "index-3f2a.js").write_text(SCRIPT)
    return tmp_path


def client(root: Path) -> httpx.AsyncClient:
    app = Starlette(routes=list(site_routes(read_site(root))))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a")


async def test_the_page_is_asked_for_anew_each_time(built: Path) -> None:
    async with client(built) as http:
        for path in ("/", "/index.html"):
            answer = await http.get(path)
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.headers["content-type"].startswith("text/html")


async def test_hashed_files_are_kept_for_ever_and_packed(built: Path) -> None:
    async with client(built) as http:
        answer = await http.get("/assets/index-3f2a.js")
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.text == SCRIPT
        plain = await http.get("/assets/index-3f2a.js", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == SCRIPT.encode()
        assert int(answer.headers["content-length"]) == len(gzip.compress(plain.content, mtime=0))


async def test_a_page_that_has_not_changed_is_not_sent_again(built: Path) -> None:
    async with client(built) as http:
        first = await http.get("/")
        again = await http.get("/", headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304
        assert again.content == b""


@pytest.mark.parametrize(
    "path", ["/assets/../index.html.bak", "/assets/%2e%2e/secret", "//etc/passwd", "/assets", "/x"]
)
async def test_only_files_of_the_site_can_be_asked_for(built: Path, path: str) -> None:
    (built.parent / "secret").write_text("secret")
    async with client(built) as http:
        assert (await http.get(path)).status_code == 404


async def test_without_a_built_page_it_says_what_to_do(tmp_path: Path) -> None:
    async with client(tmp_path / "absent") as http:
        answer = await http.get("/")
        assert answer.status_code == 200
        assert "make ui" in answer.text
