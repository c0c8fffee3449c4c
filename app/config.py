"""Settings from the environment and from `.env`, checked before anything else runs."""

import sys
from importlib.util import find_spec
from secrets import token_bytes
from urllib.parse import urlsplit

from pydantic import Field, SecretBytes, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

# RFC 7518, section 3.2: a key for HS256 has at least as many bytes as its hash.
KEY_BYTES = 32
MAKE_A_KEY = f"python -c 'import secrets; print(secrets.token_urlsafe({KEY_BYTES}))'"
# uvicorn's own status for "cannot start": its supervisor stops instead of starting the worker again.
STARTUP_FAILURE = 3


class Settings(BaseSettings):
    """What differs between deployments; `.env.example` explains each setting."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore")

    fastapi_env: str = "production"
    secret_key: SecretBytes = Field(default=SecretBytes(b""), validate_default=True)
    database_url: str = "sqlite:///app.db"
    access_token_expire_minutes: int = Field(default=30, ge=1, le=525_600)
    first_user_is_admin: bool = True
    rate_limit_storage_uri: str = "memory://"
    cors_origins: str = Field(default="", pattern=r"^((\*|https?://[^/,\s]+)\s*(,\s*|$))*$")

    @field_validator("secret_key")
    @classmethod
    def require_a_key(cls, key: SecretBytes, info: ValidationInfo) -> SecretBytes:
        if not key and info.data["fastapi_env"] == "development":
            return SecretBytes(token_bytes(KEY_BYTES))
        if len(key) < KEY_BYTES:
            raise ValueError(f"at least {KEY_BYTES} bytes are needed; make a key with: {MAKE_A_KEY}")
        return key

    @field_validator("database_url")
    @classmethod
    def name_a_driver(cls, value: str) -> str:
        try:
            url = make_url(value)
        except (ArgumentError, ValueError):
            raise ValueError("not a database URL") from None
        if url.drivername == "sqlite" and url.database not in (None, "", ":memory:"):
            return value
        if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
            raise ValueError("must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")
        if not find_spec("psycopg"):
            raise ValueError("the driver for PostgreSQL is missing; install it with: uv sync --extra postgres")
        return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)

    @field_validator("rate_limit_storage_uri")
    @classmethod
    def name_a_storage(cls, value: str) -> str:
        url = urlsplit(value)
        # Reading the port checks it: urlsplit itself does not.
        if url.scheme not in ("memory", "redis", "rediss") or url.port == 0:
            raise ValueError("must be memory:// or redis://HOST:PORT")
        if url.scheme != "memory" and not find_spec("redis"):
            raise ValueError("the client for Redis is missing; install it with: uv sync --extra redis")
        return value


def load_settings() -> Settings:
    """Read the settings, or end the process with a message that names each wrong one but shows no value."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [f"{e['loc'][0]}".upper() + ": " + e["msg"].removeprefix("Value error, ") for e in error.errors()]
        sys.stderr.write("\n  ".join(["Cannot start.", *wrong]) + "\n")
        raise SystemExit(STARTUP_FAILURE) from None


settings = load_settings()
