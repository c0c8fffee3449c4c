"""Settings from the environment and from `.env`, checked before anything else runs."""

import re
import sys
from importlib.util import find_spec
from secrets import token_bytes

from pydantic import Field, SecretBytes, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

KEY_BYTES = 32  # RFC 7518, section 3.2: a key for HS256 is at least as long as its hash.
STARTUP_FAILURE = 3  # The status at which uvicorn does not start a worker again.


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
            make_one = "python -c 'import secrets; print(secrets.token_urlsafe())'"
            raise ValueError(f"needs at least {KEY_BYTES} bytes; make a key with: {make_one}")
        return key

    @field_validator("database_url")
    @classmethod
    def name_the_driver(cls, value: str) -> str:
        try:
            url = make_url(value)
        except (ArgumentError, ValueError):
            raise ValueError("is not a database URL") from None
        if url.drivername == "sqlite" and url.database not in (None, "", ":memory:"):
            return value
        if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
            raise ValueError("must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")
        if not find_spec("psycopg"):
            raise ValueError("names PostgreSQL, whose driver is missing: uv sync --extra postgres")
        return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)

    @field_validator("rate_limit_storage_uri")
    @classmethod
    def name_a_storage(cls, value: str) -> str:
        host = r"([^@/\s]*@)?([\w.-]+|\[[\da-f:]+])"
        port = r"(:([1-5]?\d{1,4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5]))?"
        if not re.fullmatch(rf"memory://|rediss?://{host}{port}(/\d*)?", value):
            raise ValueError("must be memory:// or redis://HOST:PORT")
        if value != "memory://" and not find_spec("redis"):
            raise ValueError("names Redis, whose client is missing: uv sync --extra redis")
        return value


def load_settings() -> Settings:
    """Read the settings, or end the process with one message that names what is wrong but shows no value."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [f"{e['loc'][0]}".upper() + " " + e["msg"].removeprefix("Value error, ") for e in error.errors()]
        sys.stderr.write("\n  ".join(["Cannot start with these settings:", *wrong]) + "\n")
        raise SystemExit(STARTUP_FAILURE) from None


settings = load_settings()
