"""Error responses: as OpenAPI documents them, and the handlers for what no endpoint raises itself."""

import json
import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DatabaseError, IntegrityError, InterfaceError
from sqlalchemy.orm.exc import StaleDataError

logger = logging.getLogger(__name__)

# What FastAPI takes as `responses`: statuses and parts of an OpenAPI document.
Responses = dict[int | str, dict[str, Any]]


class Error(BaseModel):
    detail: str


class InvalidField(BaseModel):
    type: str
    loc: list[str | int]
    msg: str


class InvalidRequest(BaseModel):
    detail: list[InvalidField]


def error(code: int, *details: str, **headers: str) -> Responses:
    """Document a status by the texts that its body can carry, and its headers by what they are for."""
    examples = {detail: {"value": {"detail": detail}} for detail in details}
    purposes = {
        name.replace("_", "-"): {"description": text, "schema": {"type": "string"}} for name, text in headers.items()
    }
    # Without a description, FastAPI takes the phrase of the status, which differs from one Python to another.
    content = {"application/json": {"examples": examples}}
    return {code: {"model": Error, "description": details[0], "content": content, "headers": purposes}}


RETRY_AFTER = "Seconds after which to try again."
UNAUTHORIZED = error(401, "Not authenticated", "Could not validate credentials", WWW_Authenticate="Always `Bearer`.")
USER_CONFLICT = error(409, "Username or email already exists")
LAST_ADMIN = error(409, "The last admin cannot be removed")
TOO_MANY_FAILURES = error(429, "Too many failed logins", Retry_After=RETRY_AFTER)
UNAVAILABLE = error(503, "Database unavailable", Retry_After=RETRY_AFTER)
# FastAPI itself answers this one, as JSON where it has begun to read the body.
TOO_LARGE = error(413, "Content Too Large")
TOO_LARGE[413]["content"]["text/plain"] = {"schema": {"type": "string"}, "example": "Content Too Large"}
INVALID_EXAMPLE = {"detail": [{"type": "missing", "loc": ["body", "title"], "msg": "Field required"}]}
INVALID: Responses = {
    422: {
        "model": InvalidRequest,
        "description": "Where and why the request is invalid",
        "content": {"application/json": {"example": INVALID_EXAMPLE}},
    }
}
INVALID_BODY = error(400, "There was an error parsing the body") | INVALID
PUBLIC: dict[str, Any] = {"security": []}


async def answer_invalid_request(_: Request, error: Exception) -> Response:
    """Say where and why, but never repeat a value that was sent: it may be a password, or no JSON at all."""
    assert isinstance(error, RequestValidationError)
    detail = [{key: reason[key] for key in ("type", "loc", "msg")} for reason in error.errors()[:100]]
    # In ASCII: the name of an unknown field may hold a lone surrogate, for which UTF-8 has no bytes.
    return Response(json.dumps({"detail": detail}), 422, media_type="application/json")


async def answer_vanished_row(request: Request, error: Exception) -> Response:
    """Answer as if the row had gone before the request: the one in its path, or else the account that sent it."""
    logger.warning("A row went during a request: %s", error)
    for name in request.path_params:
        return JSONResponse({"detail": f"{name.removesuffix('_id').title()} not found"}, 404)
    return JSONResponse({"detail": "Could not validate credentials"}, 401, {"WWW-Authenticate": "Bearer"})


async def answer_lost_database(_: Request, error: Exception) -> Response:
    """Ask to try again. The log has what happened, for it may also be a mistake in SQL."""
    logger.error("Database unavailable: %r", error)
    return JSONResponse({"detail": "Database unavailable"}, 503, {"Retry-After": "5"})


def add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(RequestValidationError, answer_invalid_request)
    for gone in (StaleDataError, IntegrityError):
        app.add_exception_handler(gone, answer_vanished_row)
    for lost in (DatabaseError, InterfaceError, TimeoutError):
        app.add_exception_handler(lost, answer_lost_database)
