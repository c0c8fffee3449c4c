"""The errors of the API, and handlers for exceptions that nothing else has caught."""

import logging

from fastapi import HTTPException, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import exc
from sqlalchemy.orm.exc import StaleDataError

logger = logging.getLogger(__name__)


class ApiError(HTTPException):
    """An error that the API responds with. Each error has its own subclass."""

    status_code: int
    detail: str
    headers: dict[str, str] = {}

    def __init__(self, headers: dict[str, str] | None = None) -> None:
        super().__init__(self.status_code, self.detail, headers or self.headers)


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


class Conflict(ApiError):  # `handle_database_error`, below, responds with it.
    status_code = 409
    detail = "Conflicts with the current data"


class UserExists(Conflict):
    detail = "Username or email already exists"


class LastAdmin(Conflict):
    detail = "The last admin cannot be removed"


class TooManyFailures(ApiError):
    status_code = 429
    detail = "Too many failed attempts"
    headers = {"Retry-After": "60"}  # For the docs. throttle.py sends the seconds that are left.


class DatabaseUnavailable(ApiError):
    status_code = 503
    detail = "Database unavailable"
    headers = {"Retry-After": "5"}


class WeakPassword(RequestValidationError):  # A 422 that looks like FastAPI's own.
    def __init__(self, field: str) -> None:
        msg = "This password is too easy to guess"
        super().__init__([{"type": "weak_password", "loc": ("body", field), "msg": msg}])


async def handle_invalid_request(_: Request, error: RequestValidationError) -> Response:
    """Return at most 100 reasons, and no value that was sent: it may be a password."""
    reasons = []
    for e in error.errors()[:100]:
        # What follows the colon can repeat parts of an invalid email address.
        msg = e["msg"].partition(":")[0] if e["type"] == "value_error" else e["msg"]
        reasons.append({"type": e["type"], "loc": e["loc"], "msg": msg})
    return JSONResponse({"detail": reasons}, 422)


async def handle_database_error(request: Request, error: exc.SQLAlchemyError) -> Response:
    """Respond with 409 to a conflict, and with 503 if the database can't be used."""
    if isinstance(error, exc.IntegrityError | StaleDataError):
        reason = str(error).splitlines()[0]  # The other lines can show values.
        # The index of the names, and what SQLite and PostgreSQL call the constraint of the emails.
        if any(name in reason for name in ("ix_users_username", "users.email", "users_email_key")):
            return await http_exception_handler(request, UserExists())
        logger.warning("The database refused a change: %s", reason)
        return await http_exception_handler(request, Conflict())
    # SQLite also raises an OperationalError for a mistake in a statement. That is a bug.
    driver_error = getattr(error, "orig", None)
    if getattr(driver_error, "sqlite_errorname", None) == "SQLITE_ERROR":
        raise error
    is_lost = getattr(error, "connection_invalidated", False)
    if is_lost or isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError):
        logger.error("Database unavailable: %r", error)
        return await http_exception_handler(request, DatabaseUnavailable())
    raise error  # Another bug.


async def handle_bug(_: Request, __: Exception) -> Response:
    return JSONResponse({"detail": "Internal Server Error"}, 500)
