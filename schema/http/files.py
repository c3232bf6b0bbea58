"""`PUT /files/{id}` and `GET /files/{id}`: a file's bytes in and out. Thin: rules and rights are the service's.

The bearer token comes in the Authorization header and nowhere else; the URL is no credential. Ranges as RFC 9110,
section 14; file names as RFC 6266 and RFC 8187. What a caller may not see answers like what there is not.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from schema.errors import unexpected
from schema.http.requests import PROTECTION, language_of, problem_response, request_id_of
from service.access.actor import Caller
from service.crypto import CiphertextError
from service.errors import LOCALES, Code, Invalid, NotSignedIn, Problem, Refused
from service.evidence.delivery import Downloadable
from service.evidence.service import EvidenceRoom
from service.storage import DatabaseTrouble, ObjectTrouble

GetCaller = Callable[[Request], Awaitable[Caller]]
UNAVAILABLE = (ObjectTrouble, DatabaseTrouble, CiphertextError)
"""The file can't be had just now, or not any more; what else goes wrong is an error of ours."""
CHUNK_SECONDS = 30.0
"""How long a client may be silent in the middle of its file."""
START_SECONDS, SLOWEST_BYTES_PER_SECOND = 120.0, 16 * 1024
"""A whole upload may take START_SECONDS and as long as the slowest accepted line needs."""

_LENGTH = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*", re.IGNORECASE)
_UNSAFE_IN_NAME = re.compile(r"[^A-Za-z0-9._ -]")


class RangeNotSatisfiable(ValueError):
    """The asked range lies outside the file."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte, inclusive; None when the whole file is to be sent: no range, another unit, several
    ranges, or nonsense (RFC 9110, 14.2 lets a server ignore them). Raises RangeNotSatisfiable.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None:
        return None
    first_text, last_text, suffix_text = match.groups()
    if suffix_text is not None:
        suffix = int(suffix_text)
        if suffix == 0 or size == 0:
            raise RangeNotSatisfiable
        return max(0, size - suffix), size - 1
    first = int(first_text)
    last = int(last_text) if last_text else size - 1
    if last_text and last < first:
        return None  # not a valid range at all
    if first >= size:
        raise RangeNotSatisfiable
    return first, min(last, size - 1)


def content_disposition(file_name: str) -> str:
    """An attachment under its name, in ASCII for old clients and in UTF-8 (RFC 6266, RFC 8187)."""
    fallback = _UNSAFE_IN_NAME.sub("_", file_name)
    return f"attachment; filename=\"{fallback}\"; filename*=UTF-8''{quote(file_name, safe='')}"


def _absent(locale: str) -> Response:
    return problem_response([Problem(Code.NOT_FOUND, "id")], locale)


async def _patient(request: Request, size: int) -> AsyncIterator[bytes]:
    """The body's chunks. Raises TimeoutError for a client that is silent or slower than any real line."""
    async with aclosing(request.stream()) as stream:
        deadline = asyncio.get_running_loop().time() + START_SECONDS + size / SLOWEST_BYTES_PER_SECOND
        while True:
            wait = min(CHUNK_SECONDS, deadline - asyncio.get_running_loop().time())
            async with asyncio.timeout(wait):
                chunk = await anext(stream, None)
            if chunk is None:
                return
            if chunk:
                yield chunk


class Files:
    """Both routes; `evidence` decides."""

    def __init__(self, get_caller: GetCaller, evidence: EvidenceRoom) -> None:
        self._get_caller = get_caller
        self._evidence = evidence

    async def _caller(self, request: Request) -> Caller:
        if not request.headers.get("authorization", "").lower().startswith("bearer "):
            raise NotSignedIn
        return await self._get_caller(request)

    async def put(self, request: Request) -> Response:
        """204 when the file is stored; an unread body closes the connection."""
        locale = language_of(request) or LOCALES[0]
        try:
            caller = await self._caller(request)
            locale = caller.locale
            length = request.headers.get("content-length", "")
            if not _LENGTH.fullmatch(length):
                problem = Problem(Code.REQUIRED, "Content-Length")
                return _closing(problem_response([problem], locale, 411))
            body = _patient(request, int(length))
            async with aclosing(body):  # type: ignore[type-var]
                view = await self._evidence.put(caller, request.path_params["id"], int(length), body)
            return Response(status_code=204, headers=PROTECTION) if view else _closing(_absent(locale))
        except Invalid as invalid:
            return _closing(problem_response(invalid.problems, locale))
        except Refused as refused:
            return _closing(problem_response([refused.problem], locale))
        except ClientDisconnect:
            return _closing(problem_response([Problem(Code.LENGTH_MISMATCH, "body")], locale))
        except TimeoutError:
            return _closing(problem_response([Problem(Code.LENGTH_MISMATCH, "body")], locale, 408))
        except UNAVAILABLE as trouble:
            return _closing(_unavailable(trouble, request, locale))

    async def get(self, request: Request) -> Response:
        """200 or 206 with the bytes, 416 outside them; HEAD the same without them and without an entry."""
        locale = language_of(request) or LOCALES[0]
        try:
            caller = await self._caller(request)
            locale = caller.locale
            file = await self._evidence.downloadable(caller, request.path_params["id"])
            if file is None:
                return _absent(locale)
            headers = _headers(file)
            try:
                asked = _asked_range(request, file)
            except RangeNotSatisfiable:
                outside = {**PROTECTION, "Content-Range": f"bytes */{file.size}"}
                return Response(status_code=416, headers=outside)
            first, last = asked or (0, file.size - 1)
            headers["Content-Length"] = str(last - first + 1)
            if asked:
                headers["Content-Range"] = f"bytes {first}-{last}/{file.size}"
            status = 206 if asked else 200
            if request.method == "HEAD":
                return Response(status_code=status, headers=headers, media_type=file.media_type)
            download = await self._evidence.download(caller, file.id, asked)
            if download is None:
                return _absent(locale)
            chunks = await _begun(download.chunks)
            return StreamingResponse(chunks, status, headers, file.media_type)
        except Invalid as invalid:
            return problem_response(invalid.problems, locale)
        except Refused as refused:
            return problem_response([refused.problem], locale)
        except UNAVAILABLE as trouble:
            return _unavailable(trouble, request, locale)


def _headers(file: Downloadable) -> dict[str, str]:
    return {
        **PROTECTION,
        "Accept-Ranges": "bytes",
        "Content-Disposition": content_disposition(file.name),
        "ETag": f'"{file.tag}"',
    }


def _asked_range(request: Request, file: Downloadable) -> tuple[int, int] | None:
    condition = request.headers.get("if-range")
    if condition is not None and condition.strip() != f'"{file.tag}"':
        return None  # the client has parts of something else (RFC 9110, 13.1.5)
    return parse_range(request.headers.get("range"), file.size)


async def _begun(chunks: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """The same chunks, the first one read already: what fails at once fails before the status is sent."""
    first = await anext(chunks, b"")

    async def all_of_them() -> AsyncIterator[bytes]:
        async with aclosing(chunks):
            yield first
            async for chunk in chunks:
                yield chunk

    return all_of_them()


def _closing(response: Response) -> Response:
    """The rest of the request's body is not read, so the connection can't be used again."""
    response.headers["Connection"] = "close"
    return response


def _unavailable(trouble: Exception, request: Request, locale: str) -> Response:
    return problem_response([unexpected(trouble, request_id_of(request))], locale, 503)


def files_routes(get_caller: GetCaller, evidence: EvidenceRoom) -> list[Route]:
    """The routes. `get_caller` reads the Authorization header alone and raises NotSignedIn."""
    files = Files(get_caller, evidence)
    return [
        Route("/files/{id}", files.put, methods=["PUT"], name="put_file"),
        Route("/files/{id}", files.get, methods=["GET", "HEAD"], name="get_file"),
    ]
