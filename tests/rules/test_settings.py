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
    """Read the settings in an empty directory, as nothing but the defaults."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the message with which the settings are refused."""
    with pytest.raises(SystemExit) as ending:
        load_settings()

    # With any other status, Uvicorn would start its workers again and again.
    assert ending.value.code == STARTUP_FAILURE == 3
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FASTAPI_ENV", "hunter2"),
        ("SECRET_KEY", "hunter2 hunter2 hunter2 hunter2"),
        ("DATABASE_URL", "hunter2"),
        ("DATABASE_URL", "mysql://root:hunter2@127.0.0.1/test"),
        ("DATABASE_URL", "postgresql+asyncpg://root:hunter2@127.0.0.1/test"),
        ("DATABASE_URL", "postgresql://root:hunter2@127.0.0.1:port/test"),
        ("DATABASE_URL", "postgresql://root:hun@ter2@127.0.0.1/hunter2"),
        ("DATABASE_URL", "postgresql://hunter2@one:1,two:2/test"),
        ("DATABASE_URL", "postgresql://hunter2@one/test?host=two"),
        ("DATABASE_URL", "postgresql://hunter2@one/test?user=two"),
        ("DATABASE_URL", "postgresql://alice@/test?host=one&port=hunter2"),
        ("DATABASE_URL", "postgresql://hunter2@one/test?prepare_threshold=5"),
        ("DATABASE_URL", "postgresql://hunter2@one/test?autocommit=1"),
        ("DATABASE_URL", "sqlite:///"),
        ("DATABASE_URL", "sqlite://hunter2/test.db"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("DATABASE_URL", "sqlite:///test.db?timeout=hunter2"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "0"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "525601"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "hunter2"),
        ("FIRST_USER_IS_ADMIN", "hunter2"),
        ("RATE_LIMIT_STORAGE_URI", "memcached://hunter2"),
        ("RATE_LIMIT_STORAGE_URI", "redis://:hunter2"),
        ("RATE_LIMIT_STORAGE_URI", "redis://hunter2:99999"),
        ("CORS_ORIGINS", "hunter2"),
        ("CORS_ORIGINS", "https://example.com/hunter2"),
        ("CORS_ORIGINS", "https://example.com, hunter2.example.com"),
        ("CORS_ORIGINS", "https://example.com https://hunter2.example.com"),
        ("CORS_ORIGINS", "ftp://hunter2.example.com"),
        ("CORS_ORIGINS", "https://*.hunter2.example.com"),
        # Browsers send these in lower case, and without the port, so they would never match.
        ("CORS_ORIGINS", "https://Hunter2.example.com"),
        ("CORS_ORIGINS", "http://hunter2.example.com:80"),
        ("CORS_ORIGINS", "https://hunter2.example.com:443"),
    ],
)
def test_wrong_setting_is_named_but_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    message = refusal(capsys)

    assert message.startswith(f"Cannot start with these settings:\n  {name} ")
    assert message.count("\n") == 2
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SECRET_KEY", "too short", "needs at least 32 bytes; make one with: python -c"),
        ("FASTAPI_ENV", "staging", "should be 'development' or 'production'"),
        ("DATABASE_URL", "app.db", "must be sqlite:///FILE or postgresql://"),
        ("DATABASE_URL", "postgresql://a:p@ss@one/test", "write it as %40"),
        ("DATABASE_URL", "postgresql://a@one/test?host=two", "before and after the `?`"),
        ("DATABASE_URL", "postgresql://a@/test?autocommit=1", "can't set autocommit"),
        ("CORS_ORIGINS", "https://Example.com", "in lower case, without a path"),
    ],
)
def test_message_says_what_is_right(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    message: str,
) -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    monkeypatch.setenv(name, value)

    assert message in refusal(capsys)


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
    monkeypatch.setattr("app.config.find_spec", lambda _: None)

    assert "uv sync --extra redis" in refusal(capsys)


def test_settings_show_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2" * 5)
    monkeypatch.setenv("DATABASE_URL", "sqlite:///hunter2.db")

    settings = load_settings()

    assert "hunter2" not in repr(settings)
    assert "rate_limit_storage_uri" not in repr(settings)


@pytest.mark.parametrize("minutes", ["1", "525600"])
def test_lifetime_of_a_token_can_be_set_from_a_minute_to_a_year(
    monkeypatch: pytest.MonkeyPatch, minutes: str
) -> None:
    monkeypatch.setenv("ACCESS_TOKEN_EXPIRE_MINUTES", minutes)

    assert load_settings().access_token_expire_minutes == int(minutes)


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("", []),
        ("*", ["*"]),
        ("http://a.example.com", ["http://a.example.com"]),
        (
            " https://a.example.com:8443 ,http://[::1]:3000,",
            ["https://a.example.com:8443", "http://[::1]:3000"],
        ),
        # A port that is only unusual for the other scheme.
        ("https://a.example.com:80", ["https://a.example.com:80"]),
    ],
)
def test_origins_are_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, value: str, origins: list[str]
) -> None:
    monkeypatch.setenv("CORS_ORIGINS", value)

    assert load_settings().cors_origins == origins


def test_value_can_end_with_a_line_break(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does when it comes from a file."""
    monkeypatch.setenv("DATABASE_URL", "sqlite:///test.db\n")
    monkeypatch.setenv("ACCESS_TOKEN_EXPIRE_MINUTES", "5\n")

    settings = load_settings()

    assert settings.database_url == "sqlite:///test.db"
    assert settings.access_token_expire_minutes == 5


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_means_psycopg(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    rest = "://alice:p%40ss@db.example.com:5433/posts?sslmode=require"
    monkeypatch.setenv("DATABASE_URL", scheme + rest)

    assert load_settings().database_url == "postgresql+psycopg" + rest


def test_redis_url_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redis", reason="needs the extra redis")
    monkeypatch.setenv("RATE_LIMIT_STORAGE_URI", "rediss://:secret@[::1]:65535/0")

    assert str(load_settings().rate_limit_storage_uri) == "rediss://:secret@[::1]:65535/0"


def test_dotenv_in_the_working_directory_is_read(directory: Path) -> None:
    # An empty line means the default, and other programs may have settings here too.
    lines = f"SECRET_KEY={KEY}\nFIRST_USER_IS_ADMIN=\nCOMPOSE_PROJECT_NAME=posts\n"
    # Windows may put a mark in front of UTF-8.
    (directory / ".env").write_text(lines, encoding="utf-8-sig")

    settings = load_settings()

    assert settings.secret_key.get_secret_value() == KEY.encode()
    assert settings.first_user_is_admin


def test_dotenv_in_another_encoding_is_refused(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PowerShell writes UTF-16 with `>`."""
    (directory / ".env").write_text(f"SECRET_KEY={KEY}\n", encoding="utf-16")

    message = refusal(capsys)

    assert message == (
        "Cannot start with these settings:\n"
        "  .env is not UTF-8 text; save it again with that encoding\n"
    )


def test_commands_have_a_random_key_and_write_no_file(directory: Path) -> None:
    keys = {load_settings().secret_key.get_secret_value() for _ in range(2)}

    assert [len(key) for key in keys] == [32, 32]
    assert list(directory.iterdir()) == []


def test_development_key_is_kept_in_a_file(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTAPI_ENV", "development")

    first = load_settings().secret_key.get_secret_value()
    second = load_settings().secret_key.get_secret_value()

    file = directory / ".secret_key"
    assert first == second == file.read_bytes()
    assert len(first) >= 32
    if os.name == "posix":  # Windows has no such rights.
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_development_key_that_was_cut_short_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FASTAPI_ENV", "development")
    (directory / ".secret_key").write_text("short", encoding="utf-8")

    assert "SECRET_KEY needs at least 32 bytes" in refusal(capsys)


def test_development_key_that_cannot_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FASTAPI_ENV", "development")
    monkeypatch.setattr("app.config.DEVELOPMENT_KEY", Path("nowhere/.secret_key"))

    assert refusal(capsys) == (
        "Cannot start with these settings:\n  nowhere/.secret_key: No such file or directory\n"
    )
