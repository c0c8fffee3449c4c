"""Settings, read from the environment and from `.env`."""

import re
import secrets
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, RedisDsn, SecretBytes, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import ArgumentError

KEY_BYTES = 32  # RFC 7518, section 3.2: an HS256 key must be at least as long as its hash.
KEY_HINT = "make one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
DEVELOPMENT_KEY = Path(".secret_key")
URL_HINT = (
    "must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
    " (for PostgreSQL: uv sync --extra postgres)"
)
# Browsers leave out the default port, so an origin with it would never match.
ORIGIN = r"\*|(?!http:.*:80$|https:.*:443$)https?://[a-z0-9.:[\]-]+"
STARTUP_FAILURE = 3  # Uvicorn restarts a worker that ends, but stops if its status is this.


def default_secret_key(values: dict[str, Any]) -> SecretBytes:
    """Return the key to use when SECRET_KEY isn't set."""
    if values["fastapi_env"] == "production":
        # For make_admin and Alembic. The app doesn't start with this key: see main.py.
        return SecretBytes(secrets.token_bytes(KEY_BYTES))
    # Keep it in a file: with a new key after each reload, everyone would be logged out.
    if not DEVELOPMENT_KEY.exists():
        DEVELOPMENT_KEY.touch(mode=0o600)  # Only its owner may read it.
    if not DEVELOPMENT_KEY.read_bytes():
        DEVELOPMENT_KEY.write_text(secrets.token_urlsafe(), encoding="utf-8")
    return SecretBytes(DEVELOPMENT_KEY.read_bytes())


class Settings(BaseSettings):
    """The settings of the app. `.env.example` explains each of them."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8-sig",  # Editors on Windows may add a byte order mark.
        env_ignore_empty=True,
        extra="ignore",
        str_strip_whitespace=True,
    )

    # `fastapi dev` sets this to "development". It comes first: `default_secret_key` reads it.
    fastapi_env: Literal["development", "production"] = "production"
    secret_key: SecretBytes = Field(default_factory=default_secret_key)
    # Left out of `repr`, as these URLs can hold a password.
    database_url: str = Field(default="sqlite:///app.db", repr=False)
    rate_limit_storage_uri: Literal["memory://"] | RedisDsn = Field(default="memory://", repr=False)
    access_token_expire_minutes: int = Field(default=30, ge=1, le=525_600)
    first_user_is_admin: bool = True
    # `NoDecode`: it isn't JSON. The default is a list already, so there is nothing to split.
    cors_origins: Annotated[list[str], NoDecode] = Field(default=[], validate_default=False)

    @field_validator("secret_key")
    @classmethod
    def check_secret_key(cls, key: SecretBytes) -> SecretBytes:
        if len(key) < KEY_BYTES:
            raise ValueError(f"needs at least {KEY_BYTES} bytes; {KEY_HINT}")
        return key

    @field_validator("database_url")
    @classmethod
    def check_database_url(cls, value: str) -> str:
        """Refuse what the driver would ignore or misread, or fail on with a traceback."""
        if re.fullmatch(r"sqlite:///(?!:memory:)[^?]+", value):  # A file, without options.
            return value
        value = re.sub("^postgres(ql)?:", "postgresql+psycopg:", value)
        try:
            url = make_url(value)
            # This doesn't connect, but it loads the driver, and reads the hosts and ports.
            create_engine(url)
        except (ArgumentError, ImportError, ValueError):
            raise ValueError(URL_HINT) from None
        if url.drivername != "postgresql+psycopg":
            raise ValueError(URL_HINT)
        if "@" in (url.host or ""):
            # The password ends at its first @. The rest would count as a host, and show in errors.
            raise ValueError("has an @ in the password; write it as %40")
        if url.translate_connect_args(username="user", database="dbname").keys() & url.query.keys():
            raise ValueError("says the same thing before and after the `?`; say it once")
        if {"autocommit", "client_encoding", "prepare_threshold"} & url.query.keys():
            raise ValueError("can't set autocommit, client_encoding or prepare_threshold")
        return value

    @field_validator("rate_limit_storage_uri")
    @classmethod
    def check_redis_is_installed(cls, value: str | RedisDsn) -> str | RedisDsn:
        if value != "memory://" and not find_spec("redis"):
            raise ValueError("needs the Redis client; install it: uv sync --extra redis")
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def split_origins(cls, value: str) -> list[str]:
        origins = [origin.strip() for origin in value.split(",") if origin.strip()]
        if not all(re.fullmatch(ORIGIN, origin) for origin in origins):
            raise ValueError(
                "must be * or origins such as https://example.com, separated by commas and"
                " written as browsers send them: in lower case, without a path or the default port"
            )
        return origins


def load_settings() -> Settings:
    """Read the settings, or end the process with one message that shows no value."""
    try:
        return Settings()
    except ValidationError as error:
        # If FASTAPI_ENV is wrong, there is also an error for SECRET_KEY, which depends on it.
        errors = [e for e in error.errors() if e["type"] != "default_factory_not_called"]
        # Of two errors of one setting, show the last.
        reasons = {str(e["loc"][0]).upper(): e["msg"] for e in errors}
        lines = [f"{name} {msg.removeprefix('Value error, ')}" for name, msg in reasons.items()]
    except UnicodeDecodeError:
        lines = [".env is not UTF-8 text; save it again with that encoding"]
    except OSError as error:
        lines = [f"{error.filename}: {error.strerror}"]
    sys.stderr.write("\n  ".join(["Cannot start with these settings:", *lines]) + "\n")
    sys.exit(STARTUP_FAILURE)


settings = load_settings()
