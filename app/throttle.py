"""Limits on failed logins, and on wrong current passwords when changing a password."""

import logging
import math
import time
from contextlib import suppress
from ipaddress import IPv6Address, IPv6Network, ip_address

from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from app.config import settings
from app.errors import TooManyFailures
from app.models import User

logger = logging.getLogger(__name__)

# Each limit counts failures for one minute, starting with the first one.
BY_NAME_AND_ADDRESS = RateLimitItemPerMinute(10)
BY_ADDRESS = RateLimitItemPerMinute(100)
BY_USER = RateLimitItemPerMinute(10)

# A limit, and for whom it counts failures, such as "192.0.2.1/alice".
Key = tuple[RateLimitItemPerMinute, str]


def build_limiter(storage_uri: str) -> FixedWindowRateLimiter:
    # The timeouts are for Redis, in seconds.
    storage = storage_from_string(
        storage_uri, wrap_exceptions=True, socket_timeout=0.2, socket_connect_timeout=0.2
    )
    return FixedWindowRateLimiter(storage)


limiter = build_limiter(str(settings.rate_limit_storage_uri))


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


def login_keys(request: Request, username: str) -> list[Key]:
    address = client_address(request)
    return [(BY_NAME_AND_ADDRESS, f"{address}/{username.lower()}"), (BY_ADDRESS, address)]


def user_keys(user: User) -> list[Key]:
    return [(BY_USER, str(user.id))]


def check(keys: list[Key], request: Request) -> None:
    """Raise TooManyFailures if a limit is reached. Call it before verifying a password."""
    # Two requests can both pass before either is counted, but there are never more of them than
    # HASHING_SLOTS. So at most one guess too many gets through, and this needs no lock.
    with suppress(StorageError):  # `count_failure` logs it.
        for limit, who in keys:
            window = limiter.get_window_stats(limit, who)
            if window.remaining == 0:
                logger.warning("Throttled %s from %s", request.url.path, client_address(request))
                seconds = math.ceil(window.reset_time - time.time())
                raise TooManyFailures({"Retry-After": str(seconds)})


def count_failure(keys: list[Key], request: Request, user: User | None) -> None:
    # Don't log the username: it may be a password that was typed into the wrong field.
    address, user_id = client_address(request), user.id if user else None
    logger.warning("Refused %s from %s for user %s", request.url.path, address, user_id)
    try:
        for limit, who in keys:
            limiter.hit(limit, who)
    except StorageError as error:
        logger.error("Failed logins are not limited: %r", error)
