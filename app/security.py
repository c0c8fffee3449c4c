"""Passwords, tokens and the count of failed logins. Knows neither HTTP nor the database."""

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from math import ceil
from pathlib import Path
from typing import Annotated

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import Storage, storage_from_string
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
    except (VerificationError, InvalidHashError):
        return False


@cache
def unknown_user_hash() -> str:
    """Return a hash to verify if there is no such user, so that this takes the same time."""
    return hash_password("\0")  # A password can't have this character.


def needs_rehash(hashed_password: str) -> bool:
    return hasher.check_needs_rehash(hashed_password)


class Claims(BaseModel):
    """What a token says: the user's id, and their `token_version` when it was issued."""

    sub: Annotated[int, Field(ge=1, le=2**63 - 1)]
    version: int


def create_token(user_id: int, version: int) -> str:
    """Sign a JWT (RFC 7519) that expires in ACCESS_TOKEN_EXPIRE_MINUTES."""
    now = datetime.now(UTC)
    expiry = now + timedelta(minutes=settings.access_token_expire_minutes)
    claims = {"sub": str(user_id), "version": version, "iat": now, "exp": expiry}
    return jwt.encode(claims, settings.secret_key.get_secret_value(), algorithm="HS256")


def read_token(token: str) -> Claims | None:
    """Return what a token says if it is one of ours and hasn't expired."""
    try:
        payload = jwt.decode(
            token,
            settings.secret_key.get_secret_value(),
            algorithms=["HS256"],
            options={"require": ["iat", "exp"]},  # Claims demands the others.
        )
        return Claims.model_validate(payload)
    except (jwt.InvalidTokenError, ValidationError):
        return None


class FailureCounter:
    """Count failures in the minute after the first one.

    If the storage can't be reached, that is logged, and nothing is limited.
    """

    def __init__(self, storage: Storage, name: str, limit: int) -> None:
        self.limiter = FixedWindowRateLimiter(storage)
        self.limit = RateLimitItemPerMinute(limit, namespace=name)

    def seconds_to_wait(self, *key: str) -> int:
        """Return how long the limit still applies, or 0 if it isn't reached."""
        try:
            reset_time, remaining = self.limiter.get_window_stats(self.limit, *key)
        except StorageError as error:
            logger.error("Failed logins are not limited: %r", error)
            return 0
        if remaining > 0:
            return 0
        return max(1, ceil(reset_time - time.time()))

    def count(self, *key: str) -> None:
        with suppress(StorageError):  # `seconds_to_wait` has logged it.
            self.limiter.hit(self.limit, *key)


def connect_storage(uri: str) -> Storage:
    """Connect to the storage in Redis, or make one in memory, which ignores the timeouts."""
    storage = storage_from_string(
        uri, wrap_exceptions=True, socket_timeout=1, socket_connect_timeout=1
    )
    assert isinstance(storage, Storage)  # Not an async one.
    return storage


failure_storage = connect_storage(str(settings.rate_limit_storage_uri))
failures_by_name = FailureCounter(failure_storage, "name", limit=10)
failures_by_address = FailureCounter(failure_storage, "address", limit=100)
failures_by_user = FailureCounter(failure_storage, "user", limit=10)
