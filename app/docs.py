"""Swagger UI from our own server. The page asks no other host for anything."""

import re
from base64 import b64encode
from hashlib import sha256

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import validation_error_response_definition
from fastapi.staticfiles import StaticFiles

# FastAPI's own schema of a 422 has no example.
reason = {"type": "missing", "loc": ["body", "title"], "msg": "Field required"}
validation_error_response_definition["example"] = {"detail": [reason]}


def add_docs(app: FastAPI) -> None:
    """Serve Swagger UI at /docs. All URLs in it are relative, so it works behind a path prefix."""
    page = get_swagger_ui_html(
        title=app.title,
        openapi_url="openapi.json",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon-32x32.png",
        swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0},
    )
    # The browser only runs scripts from this server, and the one in the page that has this hash.
    (script,) = re.findall(rb"<script>(.*?)</script>", bytes(page.body), re.DOTALL)
    script_hash = b64encode(sha256(script).digest()).decode()
    page.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' 'sha256-{script_hash}'; style-src 'self';"
        " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )

    @app.get("/docs", include_in_schema=False)
    async def read_docs() -> Response:
        return page

    # Mount this after the route above, as it also matches that path.
    app.mount("/docs", StaticFiles(packages=[("fastapi_swagger", "resources")]))
