"""Passwords and tokens, without HTTP and without the database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from pydantic import BaseModel, ValidationError

from app.config import settings
from app.models import Id

# argon2id with the minimum of OWASP's Password Storage Cheat Sheet: 19 MiB, 2 passes.
hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Verified if the user is unknown, so that the response takes as long. No password can have a NUL.
UNKNOWN_USER_HASH = hasher.hash("\0")

# The 8,354 most common passwords of at least 8 characters, in lower case, from Django's list:
# https://github.com/django/django/blob/main/django/contrib/auth/common-passwords.txt.gz
COMMON_PASSWORDS_FILE = Path(__file__).with_name("common_passwords.txt")
COMMON_PASSWORDS = set(COMMON_PASSWORDS_FILE.read_text(encoding="utf-8").splitlines())


def is_weak(password: str, username: str) -> bool:
    """Check for common passwords (OWASP ASVS 5.0, 6.2.4), and for the username itself."""
    return password.lower() in COMMON_PASSWORDS or password.lower() == username.lower()


def hash_password(password: str) -> str:
    return hasher.hash(password)


def verify_password(password: str, hashed_password: str) -> bool:
    try:
        return hasher.verify(hashed_password, password)
    except (VerificationError, ValueError):  # A ValueError if it isn't a hash of Argon2.
        return False


class Claims(BaseModel):
    """The claims of a token: the user's id, and their `token_version` when it was issued."""

    sub: Id
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
            # `iat` may be in the future: the clock of another host can be ahead of ours.
            options={"require": ["iat", "exp"], "verify_iat": False},
        )
        return Claims.model_validate(payload)
    except (jwt.InvalidTokenError, ValidationError):
        return None
