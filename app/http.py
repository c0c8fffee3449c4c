"""Middleware for HEAD requests and security headers, and the handler for a wrong method."""

import time

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HttpRules:
    """Handle HEAD as GET, add security headers, note the time, and drop Content-Length."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        scope["received_at"] = time.monotonic()  # `get_session` needs it.

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if "Authorization" in Headers(scope=scope):
                    # Caches must not store a response that is meant for one user.
                    headers["Cache-Control"] = "no-store"
            await send(message)

        # If there is a Content-Length, the 413 of Starlette is plain text. Without one, Starlette
        # counts the bytes while the app reads the body, and the 413 is JSON.
        scope["headers"] = [item for item in scope["headers"] if item[0] != b"content-length"]
        if scope["method"] == "HEAD":
            # The app handles it as a GET, and the server leaves out the body.
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, send_with_headers)


async def handle_wrong_method(request: Request, _: Exception) -> Response:
    """Name all methods of the path in `Allow` (RFC 9110). Starlette only names those of one route.

    Paths that aren't in `openapi.json`, such as /docs, only allow GET and HEAD.
    """
    route = request.scope.get("route")
    path = getattr(route, "path", None)
    operations = request.app.openapi()["paths"].get(path, {"get": {}})
    methods = {method.upper() for method in operations}
    if "GET" in methods:
        methods.add("HEAD")
    headers = {"Allow": ", ".join(sorted(methods))}
    return JSONResponse({"detail": "Method Not Allowed"}, 405, headers)
