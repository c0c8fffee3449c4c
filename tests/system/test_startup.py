"""What stops the start, and how settings are read. Messages show no value of a setting."""

from importlib.util import find_spec
from pathlib import Path
from subprocess import Popen

import pytest
from pydantic import RedisDsn
from sqlalchemy import inspect
from uvicorn.config import STARTUP_FAILURE

from app.config import Settings, load_settings
from tests.databases import new_engine

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def directory_without_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no secret key", "SECRET_KEY needs at least 32 bytes"),
        ("SQLite in a missing directory", "unable to open database file"),
        ("failing migration", "nonsense"),
        ("two newest migrations", "Multiple head revisions are present"),
        pytest.param(
            "lost Redis",
            "RATE_LIMIT_STORAGE_URI can't be reached",
            marks=pytest.mark.skipif(not find_spec("redis"), reason="needs the extra redis"),
        ),
    ],
)
def test_server_that_cannot_start_says_why_and_stops(
    refusals: dict[str, Popen[str]], case: str, message: str
) -> None:
    output, _ = refusals[case].communicate(timeout=60)

    assert refusals[case].returncode == 3
    assert "Cannot start" in output
    assert message in output
    assert "Traceback" not in output


def test_failing_migration_changes_nothing(
    refusals: dict[str, Popen[str]], refused_url: str
) -> None:
    refusals["failing migration"].wait(60)

    with new_engine(refused_url) as engine:
        assert inspect(engine).get_table_names() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "hunter2 hunter2 hunter2 hunter2"),
        ("DATABASE_URL", "hunter2"),
        ("DATABASE_URL", "mysql://root:hunter2@127.0.0.1/test"),
        ("DATABASE_URL", "postgresql+asyncpg://root:hunter2@127.0.0.1/test"),
        ("DATABASE_URL", "postgresql://root:hunter2@127.0.0.1:port/test"),
        ("DATABASE_URL", "postgresql://root:hun@ter2@127.0.0.1/hunter2"),
        ("DATABASE_URL", "sqlite:///test.db?timeout=hunter2"),
        ("DATABASE_URL", "sqlite://?name=hunter2"),
        ("DATABASE_URL", "sqlite:///:memory:?name=hunter2"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "0"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "525601"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "hunter2"),
        ("FIRST_USER_IS_ADMIN", "hunter2"),
        ("RATE_LIMIT_STORAGE_URI", "memcached://hunter2"),
        ("RATE_LIMIT_STORAGE_URI", "redis://:hunter2"),
        ("RATE_LIMIT_STORAGE_URI", "redis://[hunter2"),
        ("RATE_LIMIT_STORAGE_URI", "redis://hunter2:99999"),
        ("DATABASE_URL", "postgresql://hunter2@one:1,two:2/test"),
        ("DATABASE_URL", "postgresql://hunter2@one/test?host=two"),
        ("CORS_ORIGINS", "hunter2"),
        ("CORS_ORIGINS", "https://example.com/hunter2"),
        ("CORS_ORIGINS", "https://example.com, hunter2.example.com"),
        ("CORS_ORIGINS", "https://example.com https://hunter2.example.com"),
    ],
)
def test_wrong_setting_is_named_but_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as ending:
        load_settings()

    message = capsys.readouterr().err
    # Any other status makes Uvicorn start its workers again and again, if it has several.
    assert ending.value.code == STARTUP_FAILURE == 3
    assert message.startswith("Cannot start")
    assert f"\n  {name} " in message
    assert message.count("\n") == 2
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("app.db", "is not a database URL; several hosts are written as postgresql://"),
        ("mysql://root@127.0.0.1/test", "must be sqlite:///FILE or postgresql://"),
        ("sqlite:///", "must be sqlite:///FILE or postgresql://"),
        ("postgresql://alice:p@ss@one/test", "has an @ in the password; write it as %40"),
    ],
)
def test_message_says_how_to_write_a_database_url(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str, message: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", value)

    with pytest.raises(SystemExit):
        load_settings()

    assert f"  DATABASE_URL {message}" in capsys.readouterr().err


def test_settings_show_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2" * 5)
    monkeypatch.setenv("DATABASE_URL", "sqlite:///hunter2.db")

    settings = load_settings()

    assert "hunter2" not in repr(settings)
    assert "rate_limit_storage_uri" not in repr(settings)


def test_default_settings_need_no_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("RATE_LIMIT_STORAGE_URI")
    monkeypatch.setattr("app.config.find_spec", lambda _: None)

    settings = load_settings()

    assert settings.database_url == "sqlite:///app.db"
    assert settings.rate_limit_storage_uri == "memory://"


@pytest.mark.parametrize("minutes", ["1", "525600"])
def test_lifetime_of_a_token_can_be_set_from_a_minute_to_a_year(
    monkeypatch: pytest.MonkeyPatch, minutes: str
) -> None:
    monkeypatch.setenv("ACCESS_TOKEN_EXPIRE_MINUTES", minutes)

    settings = load_settings()

    assert settings.access_token_expire_minutes == int(minutes)


def test_message_says_how_to_make_a_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SECRET_KEY")

    with pytest.raises(SystemExit):
        load_settings()

    assert "python -c 'import secrets; print(secrets.token_urlsafe())'" in capsys.readouterr().err


def test_development_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY")
    monkeypatch.setenv("FASTAPI_ENV", "development")

    keys = {load_settings().secret_key.get_secret_value() for _ in range(2)}

    assert [len(key) for key in keys] == [32, 32]


def test_dotenv_in_the_working_directory_is_read(
    directory_without_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECRET_KEY")
    monkeypatch.delenv("FIRST_USER_IS_ADMIN")
    # An empty line means the default, and other programs may have settings here too.
    (directory_without_settings / ".env").write_text(
        f"SECRET_KEY={KEY}\nFIRST_USER_IS_ADMIN=\nCOMPOSE_PROJECT_NAME=posts\n"
    )

    settings = load_settings()

    assert settings.secret_key.get_secret_value() == KEY.encode()
    assert settings.first_user_is_admin


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_means_psycopg(scheme: str) -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    settings = Settings(
        database_url=f"{scheme}://alice:p%40ss@db.example.com:5433/posts?sslmode=require"
    )

    assert (
        settings.database_url
        == "postgresql+psycopg://alice:p%40ss@db.example.com:5433/posts?sslmode=require"
    )


@pytest.mark.parametrize("hosts", ["host=one&port=hunter2", "host=one&host=two&port=1,2,3"])
def test_postgres_hosts_that_cannot_be_read_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hosts: str
) -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://alice@/test?{hosts}")

    with pytest.raises(SystemExit):
        load_settings()

    message = capsys.readouterr().err
    assert "DATABASE_URL has hosts or ports that can't be read" in message
    assert "hunter2" not in message


def test_redis_url_is_accepted() -> None:
    pytest.importorskip("redis", reason="needs the extra redis")

    uri = RedisDsn("rediss://:secret@[::1]:65535/0")
    settings = Settings(rate_limit_storage_uri=uri)

    assert str(settings.rate_limit_storage_uri) == "rediss://:secret@[::1]:65535/0"


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("DATABASE_URL", "postgresql://alice@db.example.com/posts", "uv sync --extra postgres"),
        ("RATE_LIMIT_STORAGE_URI", "redis://redis.example.com:6379", "uv sync --extra redis"),
    ],
)
def test_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    remedy: str,
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("app.config.find_spec", lambda _: None)

    with pytest.raises(SystemExit):
        load_settings()

    assert remedy in capsys.readouterr().err
