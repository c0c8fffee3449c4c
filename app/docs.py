"""Swagger UI from our own server, and the errors and headers that FastAPI can't know."""

from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from sqlmodel import SQLModel

from app.errors import ApiError

Responses = dict[int | str, dict[str, Any]]  # The argument `responses` of an endpoint or a router.


class ErrorBody(SQLModel):
    detail: str


def header(example: str) -> dict[str, Any]:
    return {"schema": {"type": "string"}, "example": example}


LINK: Responses = {200: {"headers": {"Link": header('</path?after=7>; rel="next"')}}}
LOCATION: Responses = {201: {"headers": {"Location": header("/path/7")}}}


def document(*error_classes: type[ApiError]) -> Responses:
    """Describe the errors that an operation can respond with, each with its body as an example.

    They replace its router's errors with the same status.
    """
    responses: Responses = {}
    for error in error_classes:
        response = responses.setdefault(
            error.status_code,
            {
                "model": ErrorBody,
                "description": error.detail,
                "headers": {},
                "content": {"application/json": {"examples": {}}},
            },
        )
        response["headers"] |= {name: header(value) for name, value in error.headers.items()}
        examples = response["content"]["application/json"]["examples"]
        examples[error.detail] = {"value": {"detail": error.detail}}
    return responses


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

    # The files that the page above loads.
    app.mount("/docs", StaticFiles(packages=[("fastapi_swagger", "resources")]))
