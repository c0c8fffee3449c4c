"""Error responses: as OpenAPI documents them, and the handlers for what no endpoint raises itself."""

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as AdmissionTimeout

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5


class Error(BaseModel):
    detail: str


class InvalidField(BaseModel):
    type: str
    loc: list[str | int]
    msg: str


class InvalidRequest(BaseModel):
    detail: list[InvalidField]


# Any is the type that FastAPI gives to `responses`.
def error(code: int, *details: str, headers: dict[str, str] | None = None) -> dict[int | str, dict[str, Any]]:
    """Document an error by its status, the texts it can carry, and what its headers are for."""
    return {
        code: {
            "model": Error,
            "description": HTTPStatus(code).phrase,
            "content": {
                "application/json": {"examples": {detail: {"value": {"detail": detail}} for detail in details}}
            },
            "headers": {
                name: {"description": description, "schema": {"type": "string"}}
                for name, description in (headers or {}).items()
            },
        }
    }


# The requirement of an operation that asks for no token.
PUBLIC: dict[str, Any] = {"security": []}
UNAUTHORIZED = error(
    401,
    "Not authenticated",
    "Could not validate credentials",
    headers={"WWW-Authenticate": "The scheme to authenticate with: `Bearer`."},
)
USER_CONFLICT = error(409, "Username or email already exists")
LAST_ADMIN = error(409, "The last admin cannot be removed")
TOO_MANY_FAILURES = error(429, "Too many failed logins", headers={"Retry-After": "Seconds after which to try again."})
TOO_LARGE: dict[int | str, dict[str, Any]] = {
    413: {
        "description": "The body is larger than 1 MiB",
        "content": {
            "text/plain": {"schema": {"type": "string"}, "example": "Content Too Large"},
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Error"},
                "example": {"detail": "Content Too Large"},
            },
        },
    }
}
INVALID: dict[int | str, dict[str, Any]] = {
    422: {
        "model": InvalidRequest,
        "description": "Where and why the request is invalid",
        "content": {
            "application/json": {
                "example": {
                    "detail": [{"type": "missing", "loc": ["body", "title"], "msg": "Field required"}],
                }
            }
        },
    }
}
INVALID_BODY = error(400, "There was an error parsing the body") | INVALID
UNAVAILABLE = error(503, "Database unavailable", headers={"Retry-After": "Seconds after which to try again."})


async def answer_invalid_request(_: Request, error: Exception) -> Response:
    """Say where and why, and never repeat a value that was sent: it may be a password, or no JSON at all."""
    assert isinstance(error, RequestValidationError)
    detail = [{key: reason[key] for key in ("type", "loc", "msg")} for reason in error.errors()]
    # Only ASCII: the name of an unknown field may hold a lone surrogate, which UTF-8 cannot.
    body = json.dumps({"detail": detail})
    return Response(body, status.HTTP_422_UNPROCESSABLE_CONTENT, media_type="application/json")


async def answer_lost_database(_: Request, error: Exception) -> Response:
    """Ask to try again; the log has what happened, which may also be a mistake in SQL."""
    logger.error("Database unavailable: %s", error)
    return JSONResponse(
        {"detail": "Database unavailable"},
        status.HTTP_503_SERVICE_UNAVAILABLE,
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


def add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(RequestValidationError, answer_invalid_request)
    for lost in (OperationalError, InterfaceError, AdmissionTimeout):
        app.add_exception_handler(lost, answer_lost_database)
