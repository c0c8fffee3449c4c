"""Passwords, tokens and the count of failed logins. Knows neither HTTP nor the database."""

import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter
from pydantic import BaseModel, Field, ValidationError

from app.config import settings

logger = logging.getLogger(__name__)

# argon2id with the least that OWASP's Password Storage Cheat Sheet asks for: 19 MiB, 2 passes.
hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

# The 8,354 most common passwords of at least 8 characters, in lower case, from Django's list:
# https://github.com/django/django/blob/main/django/contrib/auth/common-passwords.txt.gz
COMMON_PASSWORDS = set(Path(__file__).with_name("common_passwords.txt").read_text().splitlines())


def is_weak(password: str, username: str) -> bool:
    """Check for common passwords, and for the username itself (OWASP ASVS 5.0, 6.2.4)."""
    return password.lower() in COMMON_PASSWORDS or password.lower() == username.lower()


def hash_password(password: str) -> str:
    return hasher.hash(password)


def verify_password(password: str, hashed_password: str) -> bool:
    try:
        return hasher.verify(hashed_password, password)
    except (VerificationError, ValueError):  # A ValueError if it isn't a hash of Argon2.
        return False


@cache
def unknown_user_hash() -> str:
    """Return a hash to verify if there is no such user, so that this takes the same time."""
    return hash_password("\0")  # A password can't have this character.


class Claims(BaseModel):
    """The claims of a token: the user's id, and their `token_version` when it was issued."""

    sub: Annotated[int, Field(ge=1, le=2**63 - 1)]
    version: int


def create_token(user_id: int, version: int) -> str:
    """Sign a JWT (RFC 7519) that expires in ACCESS_TOKEN_EXPIRE_MINUTES."""
    now = datetime.now(UTC)
    expiry = now + timedelta(minutes=settings.access_token_expire_minutes)
    claims = {"sub": str(user_id), "version": version, "iat": now, "exp": expiry}
    return jwt.encode(claims, settings.secret_key.get_secret_value(), algorithm="HS256")


def read_token(token: str) -> Claims | None:
    """Return the claims of a token if it is one of ours and hasn't expired."""
    try:
        payload = jwt.decode(
            token,
            settings.secret_key.get_secret_value(),
            algorithms=["HS256"],
            # `Claims` checks the others. The clock of the host that issued it may be ahead of ours.
            options={"require": ["iat", "exp"], "verify_iat": False},
        )
        return Claims.model_validate(payload)
    except (jwt.InvalidTokenError, ValidationError):
        return None


# Failures count for a minute, from the first one.
FAILURES_BY_NAME = RateLimitItemPerMinute(10, namespace="name")
FAILURES_BY_ADDRESS = RateLimitItemPerMinute(100, namespace="address")
FAILURES_BY_USER = RateLimitItemPerMinute(10, namespace="user")


def build_limiter(storage_uri: str) -> FixedWindowRateLimiter:
    """Count in Redis, or in memory, which ignores the timeouts (in seconds)."""
    storage = storage_from_string(
        storage_uri, wrap_exceptions=True, socket_timeout=0.2, socket_connect_timeout=0.2
    )
    return FixedWindowRateLimiter(storage)


failure_limiter = build_limiter(str(settings.rate_limit_storage_uri))


def too_many_failures(limit: RateLimitItem, *key: str) -> bool:
    """Check a limit. If the storage can't be reached, log that, and limit nothing."""
    try:
        return not failure_limiter.test(limit, *key)
    except StorageError as error:
        logger.error("Failed logins are not limited: %r", error)
        return False


def count_failure(limit: RateLimitItem, *key: str) -> None:
    with suppress(StorageError):  # `too_many_failures` has logged it.
        failure_limiter.hit(limit, *key)
