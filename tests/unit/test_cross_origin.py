"""Which pages of other origins may use the API: none, but for those that a setting names (P4, P5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from service.app import create_app
from service.config import Settings
from service.crypto import Keyring

CONSOLE, OTHER = "https://console.example", "https://evil.example"


def settings(directory: Path, **values: Any) -> Settings:
    return Settings(
        _env_file=None,  # type: ignore[call-arg]
        data_dir=directory,
        mongo_url=SecretStr("mongodb://127.0.0.1:1"),
        s3_endpoint="http://127.0.0.1:1",
        public_url="https://anjuan.example",
        **values,
    )


@pytest.fixture(params=["", f"{CONSOLE}, https://Second.example:8443/"])
def allowed(request: pytest.FixtureRequest) -> str:
    """The setting: empty, or two origins."""
    return str(request.param)


@pytest.fixture
async def app(tmp_path: Path, allowed: str) -> AsyncIterator[Starlette]:
    """The application; nothing here needs its stores."""
    found = settings(tmp_path, cors_origins=allowed)
    Keyring.create(found.keyring_path)
    app = create_app(found)
    async with app.router.lifespan_context(app):
        yield app


async def asked(app: Starlette, method: str, origin: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://anjuan.example") as client:
        return await client.request(method, "/graphql", headers={"origin": origin, **headers})


def cross_origin(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}


async def test_an_allowed_page_may_post_without_a_browsers_credentials(app: Starlette, allowed: str) -> None:
    before, sent = await asked(app, "OPTIONS", CONSOLE, **PREFLIGHT), await asked(app, "POST", CONSOLE)
    if not allowed:
        assert cross_origin(before) == cross_origin(sent) == {}
        return
    said = cross_origin(before)
    assert before.status_code == 200
    assert said["access-control-allow-origin"] == CONSOLE
    assert said["access-control-allow-methods"] == "POST"
    assert {"authorization", "content-type", "accept-language", "x-request-id"} <= {
        name.strip().lower() for name in said["access-control-allow-headers"].split(",")
    }
    assert cross_origin(sent)["access-control-allow-origin"] == CONSOLE
    assert "access-control-allow-credentials" not in {**said, **cross_origin(sent)}


@pytest.mark.parametrize("origin", [OTHER, "null", "http://console.example", f"{CONSOLE}.evil.example"])
async def test_other_pages_are_told_nothing(app: Starlette, origin: str) -> None:
    preflight = await asked(app, "OPTIONS", origin, **PREFLIGHT)
    assert preflight.status_code in (400, 405)
    assert "access-control-allow-origin" not in preflight.headers
    assert "access-control-allow-origin" not in (await asked(app, "POST", origin)).headers


async def is_let_in(app: Starlette, *origins: str) -> bool:
    """Whether a WebSocket handshake with these Origin headers is accepted."""
    said: list[Any] = []
    heard = asyncio.Queue[dict[str, Any]]()
    for kind in ("websocket.connect", "websocket.disconnect"):
        heard.put_nowait({"type": kind, "code": 1005})

    async def send(message: Any) -> None:
        said.append(message)

    scope = {
        "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "wss", "path": "/graphql",
        "raw_path": b"/graphql", "query_string": b"", "root_path": "", "client": ("192.0.2.7", 4711), "state": {},
        "headers": [(b"origin", origin.encode()) for origin in origins], "subprotocols": ["graphql-transport-ws"],
    }  # fmt: skip
    await app(scope, heard.get, send)  # type: ignore[arg-type]
    return bool(said[0]["type"] == "websocket.accept")


async def test_a_socket_is_opened_from_the_same_pages_and_its_own(app: Starlette, allowed: str) -> None:
    assert await is_let_in(app), "no browser"
    assert await is_let_in(app, "https://anjuan.example")
    assert await is_let_in(app, CONSOLE) is bool(allowed)
    assert await is_let_in(app, "https://second.example:8443") is bool(allowed)
    for refused in (OTHER, "null", "", "http://anjuan.example", "https://anjuan.example:444"):
        assert not await is_let_in(app, refused)
    assert not await is_let_in(app, "https://anjuan.example", OTHER)


@pytest.mark.parametrize(("url", "origin"), [
    ("https://Anjuan.example/", "https://anjuan.example"), ("https://a.example:443", "https://a.example"),
    ("http://a.example:80/x", "http://a.example"), ("http://a.example:8420", "http://a.example:8420"),
    ("https://[::1]:8443", "https://[::1]:8443"),
])  # fmt: skip
def test_an_origin_is_written_as_browsers_write_it(tmp_path: Path, url: str, origin: str) -> None:
    assert settings(tmp_path).model_copy(update={"public_url": url}).own_origin == origin
