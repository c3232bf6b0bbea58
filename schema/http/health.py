"""`/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Check = Callable[[], Awaitable[bool]]
PATIENCE_SECONDS = 3.0


def health_routes(checks: Mapping[str, Check]) -> list[Route]:
    """`checks`: one per part; `/readyz` says which one is not ready, with status 503."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        names = list(checks)
        results = await asyncio.gather(*(_passed(checks[name]) for name in names))
        parts = dict(zip(names, results, strict=True))
        ready = all(results)
        body = {"status": "ready" if ready else "not ready", "parts": parts}
        return JSONResponse(body, 200 if ready else 503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


async def _passed(check: Check) -> bool:
    try:
        return await asyncio.wait_for(check(), PATIENCE_SECONDS)
    except Exception:  # a check that fails in any way means: not ready
        return False
