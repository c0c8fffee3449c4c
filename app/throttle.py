"""Limits on failed logins, and on wrong current passwords when a password is changed."""

import logging
from contextlib import suppress
from ipaddress import IPv6Address, IPv6Network, ip_address

from fastapi import Request
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from app import errors
from app.config import settings
from app.models import LoginForm, User

logger = logging.getLogger(__name__)

# Each limit counts failures for one minute, starting with the first one.
BY_NAME_AND_ADDRESS = RateLimitItemPerMinute(10)
BY_ADDRESS = RateLimitItemPerMinute(100)
BY_USER = RateLimitItemPerMinute(10)


def build_limiter(storage_uri: str) -> FixedWindowRateLimiter:
    """Make a limiter that counts in Redis or in memory. The timeouts are for Redis, in seconds."""
    storage = storage_from_string(
        storage_uri, wrap_exceptions=True, socket_timeout=0.2, socket_connect_timeout=0.2
    )
    return FixedWindowRateLimiter(storage)


limiter = build_limiter(str(settings.rate_limit_storage_uri))


def is_reached(limit: RateLimitItem, *key: str) -> bool:
    """Check a limit. If the storage can't be reached, log that, and limit nothing."""
    try:
        return not limiter.test(limit, *key)
    except StorageError as error:
        logger.error("Failed logins are not limited: %r", error)
        return False


def count(limit: RateLimitItem, *key: str) -> None:
    with suppress(StorageError):  # `is_reached` has logged it.
        limiter.hit(limit, *key)


def client_address(request: Request) -> str:
    """Return the IPv4 address of the client, the /64 network of its IPv6 address, or "unknown"."""
    try:
        address = ip_address(request.client.host if request.client else "")
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        # A client can use any address of its /64 network.
        return str(address.ipv4_mapped or IPv6Network((int(address), 64), strict=False))
    return str(address)


def check_login(form: LoginForm, request: Request) -> None:
    """Raise TooManyFailures if a limit on failed logins is reached."""
    address = client_address(request)
    name = form.username.lower()
    if is_reached(BY_NAME_AND_ADDRESS, address, name) or is_reached(BY_ADDRESS, address):
        logger.warning("Throttled a login from %s", address)
        raise errors.TooManyFailures


def count_failed_login(form: LoginForm, request: Request, user: User | None) -> None:
    address = client_address(request)
    # Don't log the name: people type their password there by mistake.
    logger.warning("Refused a login from %s for user %s", address, user.id if user else None)
    count(BY_NAME_AND_ADDRESS, address, form.username.lower())
    count(BY_ADDRESS, address)


def check_password_change(user: User) -> None:
    """Raise TooManyFailures if the current password was wrong too often."""
    if is_reached(BY_USER, str(user.id)):
        logger.warning("Throttled a change of password for user %s", user.id)
        raise errors.TooManyFailures


def count_failed_password_change(user: User, request: Request) -> None:
    logger.warning("Refused a new password from %s for user %s", client_address(request), user.id)
    count(BY_USER, str(user.id))
