"""`GET /oidc/start` and `GET /oidc/callback`: a browser's way to the outside issuer and back. Thin: `OutsideSignIn` decides.

Neither reads where to go from a request: away to the issuer's own address, back to the one that is configured. The
cookie binds the way back to the browser that began it, so that nobody is signed in as somebody else by a link (login
CSRF, RFC 9700 4.7): HttpOnly, SameSite=Lax since the way back begins on the issuer's site, and over TLS `__Host-`, so
that no neighbouring host can set it.
"""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from schema.http.callers import Callers
from schema.http.requests import PROTECTION, language_of, problem_response
from service.errors import LOCALES, Refused
from service.identity.outside_sign_in import AWAY, OutsideSignIn

COOKIE = "anjuan-sign-in"
_PAGE = """<!doctype html>
<html lang="zh-CN"><meta charset="utf-8"><title>案卷 Anjuan</title>
<p>登录代码(一分钟内有效,仅可使用一次) · Sign-in code, good once and for a minute, for <code>redeemSignIn</code>:</p>
<p><code id="sign-in-code">{code}</code></p></html>
"""


class OutsideRoutes:
    """`return_url`: the console's page that gets our code, in its fragment; None shows the code instead."""

    def __init__(self, sign_in: OutsideSignIn, callers: Callers, *, secure: bool, return_url: str | None) -> None:
        self._sign_in = sign_in
        self._callers = callers
        self._secure = secure
        self._return_url = return_url
        self._cookie = f"__Host-{COOKIE}" if secure else COOKIE

    async def start(self, request: Request) -> Response:
        """Away to the issuer."""
        if request.method != "GET":
            return Response(status_code=405, headers={"allow": "GET", **PROTECTION})
        try:
            departure = await self._sign_in.begin(request.cookies.get(self._cookie), self._callers.source(request))
        except Refused as refused:
            return self._refusal(request, refused)
        response = RedirectResponse(departure.address, 303, headers=PROTECTION)
        response.set_cookie(
            self._cookie,
            departure.browser,
            max_age=int(AWAY.total_seconds()),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )
        return response

    async def callback(self, request: Request) -> Response:
        """Back from the issuer."""
        if request.method != "GET":
            return Response(status_code=405, headers={"allow": "GET", **PROTECTION})
        given = {name: request.query_params.getlist(name) for name in ("state", "code", "iss")}
        once = {name: values[0] if len(values) == 1 else None for name, values in given.items()}
        try:
            code = await self._sign_in.finish(
                state=once["state"],
                code=once["code"],
                issuer=once["iss"] if given["iss"] else None,
                browser=request.cookies.get(self._cookie),
                source=self._callers.source(request),
            )
        except Refused as refused:
            return self._refusal(request, refused)
        if self._return_url is not None:
            return RedirectResponse(f"{self._return_url}#signInCode={code}", 303, headers=PROTECTION)
        return Response(_PAGE.format(code=escape(code)), 200, PROTECTION, "text/html")

    def _refusal(self, request: Request, refused: Refused) -> Response:
        return problem_response([refused.problem], language_of(request) or LOCALES[0])

    def routes(self) -> list[Route]:
        """Both routes."""
        return [Route("/oidc/start", self.start), Route("/oidc/callback", self.callback)]
