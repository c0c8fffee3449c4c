"""Swagger UI from this server: the page asks no other host for anything, and may not (Content-Security-Policy)."""

import re
from base64 import b64encode
from hashlib import sha256

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles


def add_docs(app: FastAPI) -> None:
    """Serve Swagger UI at /docs. Every address in it is relative, so that it works behind a path prefix too."""
    page = get_swagger_ui_html(
        title=app.title,
        openapi_url="openapi.json",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon-32x32.png",
        swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0},
    )
    (script,) = re.findall(rb"<script>(.*?)</script>", bytes(page.body), re.DOTALL)
    page.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' 'sha256-{b64encode(sha256(script).digest()).decode()}';"
        " style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )

    app.add_api_route("/docs", lambda: page, include_in_schema=False)
    app.mount("/docs", StaticFiles(packages=[("fastapi_swagger", "resources")]))
