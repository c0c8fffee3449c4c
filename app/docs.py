"""Swagger UI from our own server. The page asks no other host for anything."""

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles


def add_docs(app: FastAPI) -> None:
    """Serve Swagger UI at /docs. All URLs in it are relative, so it works behind a path prefix."""

    @app.get("/docs", include_in_schema=False)
    async def read_docs() -> Response:
        return get_swagger_ui_html(
            title=app.title,
            openapi_url="openapi.json",
            swagger_js_url="docs/swagger-ui-bundle.js",
            swagger_css_url="docs/swagger-ui.css",
            swagger_favicon_url="docs/favicon-32x32.png",
            swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0},
        )

    # Mount this after the route above, as it also matches that path.
    app.mount("/docs", StaticFiles(packages=[("fastapi_swagger", "resources")]))
