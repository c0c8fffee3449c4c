"""Middleware for HEAD requests, the charsets of forms, and protective headers.

It is plain ASGI, as `@app.middleware("http")` is slower and can't pass on another `scope`.
"""

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HttpMiddleware:
    """Handle HEAD as GET, refuse charsets, and add headers to all responses."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if "Authorization" in request_headers:
                    # Caches must not store a response that is meant for one user.
                    headers["Cache-Control"] = "no-store"
            await send(message)

        content_type = request_headers.get("Content-Type", "").lower()
        if "multipart" in content_type and "charset" in content_type:
            # Python keeps unknown names of charsets forever, and some charsets are very slow.
            refusal = JSONResponse({"detail": "Send multipart forms without a charset"}, 400)
            await refusal(scope, receive, send_with_headers)
            return
        if scope["method"] == "HEAD":
            # The server keeps the original request, so it knows that it must not send a body.
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, send_with_headers)
