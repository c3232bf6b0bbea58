"""GraphiQL from our own files, in development only: no CDN, and a policy that lets nothing else load."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

FILES = Path(__file__).parent / "graphiql_files"
_TYPES = {".js": "text/javascript", ".css": "text/css"}
_POLICY = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
        "img-src 'self' data:; font-src 'self' data:; worker-src 'self' blob:; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
}


async def page(_: Request) -> Response:
    """The page."""
    return FileResponse(FILES / "index.html", media_type="text/html", headers=_POLICY)


async def file(request: Request) -> Response:
    """One of the files beside it."""
    name = request.path_params["name"]
    found = FILES / name
    if found.suffix not in _TYPES or found.name != name or not found.is_file():
        return Response(status_code=404)
    return FileResponse(found, media_type=_TYPES[found.suffix], headers=_POLICY)


def graphiql_routes() -> list[Route]:
    """`GET /graphql` and its files."""
    return [Route("/graphql", page, methods=["GET"]), Route("/graphql/files/{name}", file, methods=["GET"])]
