"""Middleware for HEAD requests, protective headers and bugs.

It is plain ASGI, as `@app.middleware("http")` is slower and can't change the method of a request.
"""

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HttpMiddleware:
    """Handle HEAD as GET, add headers to all responses, and respond to a bug with 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if "Authorization" in Headers(scope=scope):
                    # Caches must not store a response that is meant for one user.
                    headers["Cache-Control"] = "no-store"
            await send(message)

        if scope["method"] == "HEAD":
            # The app handles a copy of the request as a GET. The server keeps the original, so it
            # knows that it has to leave out the body.
            scope = {**scope, "method": "GET"}
        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:
            # Starlette's own 500 would skip the CORS middleware, so browsers couldn't read it.
            if not has_started:
                response = JSONResponse({"detail": "Internal Server Error"}, 500)
                await response(scope, receive, send_with_headers)
            raise  # For the log of the server, and for tests.
