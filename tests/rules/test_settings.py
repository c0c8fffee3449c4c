"""How settings are read, and what is said about a wrong one, without showing its value."""

import os
import stat
import sys
from pathlib import Path

import pytest
from uvicorn.config import STARTUP_FAILURE

from app.config import Settings, load_settings

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Read the settings in an empty directory and without variables, so all have their defaults."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """Return why the settings are refused, which takes one line."""
    with pytest.raises(SystemExit) as ending:
        load_settings()

    # With any other status, Uvicorn would start its workers again and again.
    assert ending.value.code == STARTUP_FAILURE == 3
    heading, reason, end = capsys.readouterr().err.split("\n")
    assert (heading, end) == ("Cannot start with these settings:", "")
    assert "hunter2" not in reason  # It is a part of the values in these tests.
    return reason


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("FASTAPI_ENV", "hunter2", "Input should be 'development' or 'production'"),
        ("SECRET_KEY", "hunter2 hunter2 hunter2 hunter2", "needs at least 32 bytes; make one with"),
        ("DATABASE_URL", "hunter2", "must be sqlite:///FILE or postgresql://"),
        ("DATABASE_URL", "sqlite:///", "must be sqlite:///FILE or"),
        ("DATABASE_URL", "sqlite://hunter2/test.db", "must be sqlite:///FILE or"),
        ("DATABASE_URL", "sqlite:///:memory:", "must be sqlite:///FILE or"),
        ("DATABASE_URL", "sqlite:///test.db?timeout=hunter2", "must be sqlite:///FILE or"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "0", "Input should be greater than or equal to 1"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "1.5", "Input should be a valid integer"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "525601", "Input should be less than or equal to 525600"),
        ("FIRST_USER_IS_ADMIN", "hunter2", "Input should be a valid boolean"),
        ("RATE_LIMIT_STORAGE_URI", "memcached://hunter2", "URL scheme should be 'redis' or"),
        ("RATE_LIMIT_STORAGE_URI", "redis://:hunter2", "Input should be a valid URL"),
        ("CORS_ORIGINS", "https://example.com, ftp://hunter2", "must be * or origins such as"),
        ("CORS_ORIGINS", "https://example.com/hunter2", "must be * or origins such as"),
        ("CORS_ORIGINS", "https://*.hunter2.example.com", "must be * or origins such as"),
        # Browsers send these in lower case, and without the port, so they would never match.
        ("CORS_ORIGINS", "https://Hunter2.example.com", "must be * or origins such as"),
        ("CORS_ORIGINS", "http://hunter2.example.com:80", "must be * or origins such as"),
        ("CORS_ORIGINS", "https://hunter2.example.com:443", "must be * or origins such as"),
    ],
)
def test_wrong_setting_is_named_but_not_shown(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    reason: str,
) -> None:
    monkeypatch.setenv(name, value)

    assert refusal(capsys).startswith(f"  {name} {reason}")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("postgresql://root:hunter2@one:port/test", "must be sqlite:///FILE or postgresql://"),
        ("postgresql://root@/test?host=one&port=hunter2", "must be sqlite:///FILE or"),
        ("postgresql://root:hun@ter2@one/hunter2", "has an @ in the password; write it as %40"),
        ("postgresql://hunter2@one/test?host=two", "says the same thing before and after"),
        ("postgresql://hunter2@one/test?user=two", "says the same thing before and after"),
        ("postgresql://hunter2@one/test?dbname=two", "says the same thing before and after"),
        ("postgresql://hunter2@one/test?prepare_threshold=5", "can't set autocommit, client_enc"),
        ("postgresql://hunter2@one/test?autocommit=1", "can't set autocommit, client_encoding or"),
        ("postgresql://hunter2@one/test?client_encoding=latin1", "can't set autocommit, client_"),
    ],
)
def test_wrong_postgresql_url_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str, reason: str
) -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    monkeypatch.setenv("DATABASE_URL", value)

    assert refusal(capsys).startswith(f"  DATABASE_URL {reason}")


def test_missing_postgres_driver_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://alice@db.example.com/posts")
    monkeypatch.setitem(sys.modules, "psycopg", None)

    assert "uv sync --extra postgres" in refusal(capsys)


def test_missing_redis_client_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RATE_LIMIT_STORAGE_URI", "redis://redis.example.com:6379")
    monkeypatch.setattr("app.config.find_spec", {"redis": None}.__getitem__)

    message = "  RATE_LIMIT_STORAGE_URI needs the Redis client; install it: uv sync --extra redis"
    assert refusal(capsys) == message


def test_settings_show_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2" * 5)
    monkeypatch.setenv("DATABASE_URL", "sqlite:///hunter2.db")

    settings = load_settings()

    assert "hunter2" not in repr(settings)
    assert "rate_limit_storage_uri" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        # What comes from a file can end with a line break.
        ("DATABASE_URL", "sqlite:///test.db\n", "sqlite:///test.db"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "1\n", 1),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "525600", 525_600),  # A year.
        ("CORS_ORIGINS", "", []),
        ("CORS_ORIGINS", "*", ["*"]),
        (
            "CORS_ORIGINS",
            " https://a.example.com ,http://b-c,",
            ["https://a.example.com", "http://b-c"],
        ),
        ("CORS_ORIGINS", "http://[::1]:8080", ["http://[::1]:8080"]),
        # A port that is only unusual for the other scheme.
        ("CORS_ORIGINS", "https://a.example.com:80", ["https://a.example.com:80"]),
        ("CORS_ORIGINS", "http://a.example.com:443", ["http://a.example.com:443"]),
    ],
)
def test_value_is_read(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(name, text)

    settings = load_settings()

    assert getattr(settings, name.lower()) == value


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_means_psycopg(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    rest = "://alice:p%40ss@db.example.com:5433/posts?application_name=api@eu"
    monkeypatch.setenv("DATABASE_URL", scheme + rest)

    assert load_settings().database_url == "postgresql+psycopg" + rest


def test_redis_url_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redis", reason="needs the extra redis")
    monkeypatch.setenv("RATE_LIMIT_STORAGE_URI", "rediss://:secret@[::1]:65535/0")

    assert str(load_settings().rate_limit_storage_uri) == "rediss://:secret@[::1]:65535/0"


def test_dotenv_in_the_working_directory_is_read(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", KEY)
    # An empty line means the default, and other programs may have settings here too.
    lines = (
        "SECRET_KEY=The environment overrides this one.\n"
        "ACCESS_TOKEN_EXPIRE_MINUTES=5\nFIRST_USER_IS_ADMIN=\nCOMPOSE_PROJECT_NAME=posts\n"
    )
    # Windows may put a mark in front of UTF-8.
    (directory / ".env").write_text(lines, encoding="utf-8-sig")

    settings = load_settings()

    assert settings.secret_key.get_secret_value() == KEY.encode()
    assert settings.access_token_expire_minutes == 5
    assert settings.first_user_is_admin


def test_dotenv_in_another_encoding_is_refused(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PowerShell writes UTF-16 with `>`."""
    (directory / ".env").write_text(f"SECRET_KEY={KEY}\n", encoding="utf-16")

    assert refusal(capsys) == "  .env is not UTF-8 text; save it again with that encoding"


def test_commands_have_a_random_key_and_write_no_file(directory: Path) -> None:
    keys = {load_settings().secret_key.get_secret_value() for _ in range(2)}

    assert [len(key) for key in keys] == [32, 32]
    assert list(directory.iterdir()) == []


def test_empty_file_of_the_development_key_is_filled(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the disk was full."""
    monkeypatch.setenv("FASTAPI_ENV", "development")
    (directory / ".secret_key").touch()

    assert len(load_settings().secret_key) >= 32


def test_development_key_is_kept_in_a_file(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTAPI_ENV", "development")

    keys = [load_settings().secret_key.get_secret_value() for _ in range(2)]

    file = directory / ".secret_key"
    assert keys == [file.read_bytes()] * 2
    assert len(keys[0]) >= 32
    if os.name == "posix":  # Windows has no such rights.
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_development_key_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FASTAPI_ENV", "development")
    monkeypatch.setattr("app.config.DEVELOPMENT_KEY", Path("nowhere/.secret_key"))

    assert refusal(capsys) == "  nowhere/.secret_key: No such file or directory"
