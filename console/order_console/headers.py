"""What guards every answer: no script but ours, no frame, no other host name."""

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 256 * 1024
"""Several times the largest order that the API server takes from the form."""
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guarded:
    """The application, for browsers that ask for one of `hosts` by name. A page of another name that resolves to this
    address could otherwise read what it serves."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").rsplit(":", 1)[0].strip("[]").lower()
        if scope["path"] not in {"/livez", "/readyz"} and host not in self._hosts:
            return PlainTextResponse(f"this console is not {host!r}\n", status_code=421)
        if scope["method"] in {"GET", "HEAD"}:
            return None
        # Also of forms without a proof: nobody else's page logs somebody in or out.
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return PlainTextResponse("a form of another page\n", status_code=403)
        length = headers.get("content-length", "")
        if not length.isdecimal() or int(length[:10]) > MAX_BODY_BYTES:
            return PlainTextResponse(f"a form has at most {MAX_BODY_BYTES} bytes, and says how many\n", status_code=413)
        return None
