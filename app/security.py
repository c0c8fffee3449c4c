"""Passwords, tokens and the throttle of failed logins; knows no HTTP and no database."""

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from math import ceil
from typing import Annotated

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter
from pydantic import BaseModel, Field, ValidationError

from app.config import settings

logger = logging.getLogger(__name__)

# argon2id with the least that OWASP's Password Storage Cheat Sheet asks for: 19 MiB, 2 passes, 1 lane.
hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def hash_password(password: str) -> str:
    return hasher.hash(password)


hash_of_nobody = cache(lambda: hash_password(""))


def verify_password(password: str, hashed_password: str | None) -> bool:
    """Tell whether the hash is of this password; without a hash, take as long to say no."""
    try:
        return hasher.verify(hashed_password or hash_of_nobody(), password) and hashed_password is not None
    except (VerificationError, InvalidHashError):
        return False


def needs_rehash(hashed_password: str) -> bool:
    return hasher.check_needs_rehash(hashed_password)


class Claims(BaseModel):
    """Whose token it is, and of which version: raising the user's version ends all tokens before it."""

    sub: Annotated[int, Field(ge=1, le=2**63 - 1)]
    version: int


def create_token(user_id: int, version: int) -> str:
    """Sign a JWT that expires in ACCESS_TOKEN_EXPIRE_MINUTES (RFC 7519; `sub` is a string there)."""
    now = datetime.now(UTC)
    exp = now + timedelta(minutes=settings.access_token_expire_minutes)
    claims = {"sub": str(user_id), "version": version, "iat": now, "exp": exp}
    return jwt.encode(claims, settings.secret_key.get_secret_value(), algorithm="HS256")


def read_token(token: str) -> Claims | None:
    """Return what a token says, if it is one of ours and still valid."""
    key, required = settings.secret_key.get_secret_value(), ["sub", "version", "iat", "exp"]
    try:
        return Claims.model_validate(jwt.decode(token, key, algorithms=["HS256"], options={"require": required}))
    except (jwt.InvalidTokenError, ValidationError):
        return None


class FailureThrottle:
    """Count failures a minute, in memory or in Redis. A Redis that is lost, or silent for a second, allows all."""

    def __init__(self, storage_uri: str, failures: int = 10) -> None:
        timeouts = {"socket_timeout": 1, "socket_connect_timeout": 1}  # The storage in memory ignores them.
        self.limiter = MovingWindowRateLimiter(storage_from_string(storage_uri, wrap_exceptions=True, **timeouts))
        self.limit = RateLimitItemPerMinute(failures)

    def seconds_to_wait(self, *who: str) -> int:
        """Return 0 where another attempt is allowed."""
        try:
            reset_time, remaining = self.limiter.get_window_stats(self.limit, *who)
        except StorageError as error:
            logger.error("Failed logins are not throttled: %s", error)
            return 0
        return 0 if remaining > 0 else max(1, ceil(reset_time - time.time()))

    def count_failure(self, *who: str) -> None:
        with suppress(StorageError):
            self.limiter.hit(self.limit, *who)


login_throttle = FailureThrottle(settings.rate_limit_storage_uri)
