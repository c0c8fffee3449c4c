"""Middleware for HEAD requests and protective headers.

It is plain ASGI, as `@app.middleware("http")` is slower and can't pass on another `scope`.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HttpMiddleware:
    """Handle HEAD as GET, and add headers to all responses."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if "Authorization" in Headers(scope=scope):
                    # Caches must not store a response that is meant for one user.
                    headers["Cache-Control"] = "no-store"
            await send(message)

        if scope["type"] == "http" and scope["method"] == "HEAD":
            # The server keeps the original request, so it knows that it must not send a body.
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, send_with_headers)
