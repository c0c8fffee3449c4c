"""Settings, read from the environment and from `.env`."""

import re
import secrets
import sys
from importlib.util import find_spec
from typing import Literal

from pydantic import Field, RedisDsn, SecretBytes, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import ArgumentError

KEY_BYTES = 32  # RFC 7518, section 3.2: an HS256 key must be at least as long as its hash.
STARTUP_FAILURE = 3  # Uvicorn restarts a worker that ends, unless it ends with this status.


def split_origins(value: str) -> list[str]:
    return [origin.strip() for origin in value.split(",") if origin.strip()]


class Settings(BaseSettings):
    """The settings of the app. `.env.example` explains each of them."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore")

    # `fastapi dev` sets this to "development". Keep it first: `check_secret_key` needs its value.
    fastapi_env: str = "production"
    secret_key: SecretBytes = SecretBytes(b"")
    # Left out of `repr`, as these URLs can hold a password.
    database_url: str = Field(default="sqlite:///app.db", repr=False)
    rate_limit_storage_uri: Literal["memory://"] | RedisDsn = Field(default="memory://", repr=False)
    access_token_expire_minutes: int = Field(default=30, ge=1, le=525_600)
    first_user_is_admin: bool = True
    cors_origins: str = ""

    @field_validator("secret_key")
    @classmethod
    def check_secret_key(cls, key: SecretBytes, info: ValidationInfo) -> SecretBytes:
        if not key and info.data["fastapi_env"] == "development":
            # A new one at each start, so everyone has to log in again.
            return SecretBytes(secrets.token_bytes(KEY_BYTES))
        if len(key) < KEY_BYTES:
            command = "python -c 'import secrets; print(secrets.token_urlsafe())'"
            raise ValueError(f"needs at least {KEY_BYTES} bytes; make a key with: {command}")
        return key

    @field_validator("database_url")
    @classmethod
    def check_database_url(cls, value: str) -> str:
        try:
            url = make_url(value)
        except (ArgumentError, ValueError):
            raise ValueError(
                "is not a database URL; several hosts are written as "
                "postgresql://USER@/NAME?host=HOST1:PORT1&host=HOST2:PORT2"
            ) from None
        is_file = url.database not in (None, "", ":memory:") and not url.query
        if url.drivername == "sqlite" and is_file:
            return value
        if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
            raise ValueError("must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")
        if url.host and "@" in url.host:
            # The password ends at its first @. The rest would count as a host, and show in errors.
            raise ValueError("has an @ in the password; write it as %40")
        if url.host and "host" in url.query:
            # SQLAlchemy would silently ignore the host before the `?`.
            raise ValueError("names a host before and after `?`; put all of them after it")
        if not find_spec("psycopg"):
            raise ValueError("needs the PostgreSQL driver; install it: uv sync --extra postgres")
        url = url.set(drivername="postgresql+psycopg")
        try:
            create_engine(url)  # It doesn't connect, but it reads what follows the `?`.
        except (ArgumentError, ValueError):
            raise ValueError("has hosts or ports that can't be read") from None
        return url.render_as_string(hide_password=False)

    @field_validator("rate_limit_storage_uri")
    @classmethod
    def check_redis_is_installed(cls, value: str | RedisDsn) -> str | RedisDsn:
        if value != "memory://" and not find_spec("redis"):
            raise ValueError("needs the Redis client; install it: uv sync --extra redis")
        return value

    @field_validator("cors_origins")
    @classmethod
    def check_cors_origins(cls, value: str) -> str:
        for origin in split_origins(value):
            if not re.fullmatch(r"\*|https?://[^/\s]+", origin):
                raise ValueError("must be * or origins such as https://example.com, separated by ,")
        return value


def load_settings() -> Settings:
    """Read the settings, or end the process with one message that shows no value."""
    try:
        return Settings()
    except ValidationError as error:
        # RATE_LIMIT_STORAGE_URI has two types, and an error for each. The last one is shown.
        reasons = {str(e["loc"][0]).upper(): e["msg"] for e in error.errors()}
        lines = [f"  {name} {msg.removeprefix('Value error, ')}\n" for name, msg in reasons.items()]
        sys.stderr.writelines(["Cannot start with these settings:\n", *lines])
        sys.exit(STARTUP_FAILURE)


settings = load_settings()
