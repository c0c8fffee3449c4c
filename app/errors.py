"""The errors of the API, how OpenAPI documents them, and handlers for all other exceptions."""

import logging
import sqlite3
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import exc
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import SQLModel

logger = logging.getLogger(__name__)


class ApiError(HTTPException):
    """An error that the API responds with. Each error has its own subclass."""

    status_code: int
    detail: str
    headers: dict[str, str] | None = None

    def __init__(self) -> None:
        super().__init__(self.status_code, self.detail, self.headers)


class UnreadableBody(ApiError):
    status_code = 400
    detail = "There was an error parsing the body"


class InvalidToken(ApiError):
    status_code = 401
    detail = "Could not validate credentials"
    headers = {"WWW-Authenticate": "Bearer"}


class IncorrectLogin(ApiError):
    status_code = 401
    detail = "Incorrect username or password"
    headers = {"WWW-Authenticate": "Bearer"}


class IncorrectPassword(ApiError):
    status_code = 403
    detail = "Current password is incorrect"


class AdminRequired(ApiError):
    status_code = 403
    detail = "Admin access required"


class NotYourPostToUpdate(ApiError):
    status_code = 403
    detail = "Only the owner or an admin can update this post"


class NotYourPostToDelete(ApiError):
    status_code = 403
    detail = "Only the owner or an admin can delete this post"


class UserNotFound(ApiError):
    status_code = 404
    detail = "User not found"


class PostNotFound(ApiError):
    status_code = 404
    detail = "Post not found"


class UserExists(ApiError):
    status_code = 409
    detail = "Username or email already exists"


class LastAdmin(ApiError):
    status_code = 409
    detail = "The last admin cannot be removed"


class Conflict(ApiError):  # `handle_database_error` responds with it.
    status_code = 409
    detail = "Conflicts with the current data"


class BodyTooLarge(ApiError):
    status_code = 413
    detail = "Content Too Large"


class TooManyFailures(ApiError):
    status_code = 429
    detail = "Too many failed attempts"
    headers = {"Retry-After": "60"}


class DatabaseUnavailable(ApiError):  # `handle_database_error` responds with it.
    status_code = 503
    detail = "Database unavailable"
    headers = {"Retry-After": "5"}


class WeakPassword(RequestValidationError):  # A 422 that looks like FastAPI's own.
    def __init__(self, field: str) -> None:
        msg = "This password is too easy to guess"
        super().__init__([{"type": "weak_password", "loc": ("body", field), "msg": msg}])


# FastAPI and Starlette respond with these, so document them wherever there is a body.
BODY_ERRORS = (UnreadableBody, BodyTooLarge)


class ErrorBody(SQLModel):
    detail: str


def document(*error_classes: type[ApiError]) -> dict[int | str, dict[str, Any]]:
    """Describe errors for FastAPI's `responses`, with the body of each as an example."""
    responses: dict[int | str, dict[str, Any]] = {}
    for error in error_classes:
        response = responses.setdefault(error.status_code, {"description": error.detail})
        response["model"] = ErrorBody
        headers = response.setdefault("headers", {})
        for name, value in (error.headers or {}).items():
            headers[name] = {"schema": {"type": "string"}, "example": value}
        content = response.setdefault("content", {"application/json": {"examples": {}}})
        example = {"value": {"detail": error.detail}}
        content["application/json"]["examples"][error.detail] = example
    return responses


async def handle_invalid_request(_: Request, error: RequestValidationError) -> Response:
    """Say where and why, but never repeat what was sent: it may be a password."""
    reasons = [{key: e[key] for key in ("type", "loc", "msg")} for e in error.errors()[:100]]
    return JSONResponse({"detail": reasons}, 422)


def is_unavailable(error: exc.SQLAlchemyError) -> bool:
    if isinstance(error, exc.TimeoutError):  # No connection of the pool became free.
        return True
    if not isinstance(error, exc.DBAPIError):
        return False
    if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        return False  # SQLite also raises an OperationalError for a mistake in a statement.
    if error.connection_invalidated:  # The connection was lost.
        return True
    return isinstance(error, (exc.OperationalError, exc.InterfaceError))


async def handle_database_error(request: Request, error: exc.SQLAlchemyError) -> Response:
    """Respond with 409 to a conflict, and with 503 if the database can't be reached."""
    if isinstance(error, (exc.IntegrityError, StaleDataError)):
        # Only the first line, as the others can show values.
        logger.warning("The database refused a change: %s", str(error).splitlines()[0])
        return await http_exception_handler(request, Conflict())
    if is_unavailable(error):
        logger.error("Database unavailable: %r", error)
        return await http_exception_handler(request, DatabaseUnavailable())
    raise error  # A bug.


async def handle_bug(_: Request, __: Exception) -> Response:
    """Respond with 500, as JSON like all errors. The server logs the traceback."""
    return JSONResponse({"detail": "Internal Server Error"}, 500)
