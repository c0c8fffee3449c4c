"""What a server does when it starts, and why it may refuse to."""

import socket
from importlib.util import find_spec
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from tests.databases import new_database
from tests.system.server import ALICE, SERVE, SETTINGS, copy_app, run, running_server, wait_until


def log_of_refused_start(directory: Path, **variables: str) -> str:
    """Start a server that can't start, with its key in `.env`, and return its log."""
    settings = SETTINGS | variables
    key = settings.pop("SECRET_KEY")
    (directory / ".env").write_text(f"SECRET_KEY={key}\n", encoding="utf-8")

    result = run(*SERVE, directory=directory, **settings)

    # Uvicorn starts a worker again and again, unless it ends with this status.
    assert result.returncode == 3
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        # The database of SETTINGS doesn't exist, either.
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set; make one with: python -c 'import secrets; "),
        (
            {"SECRET_KEY": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7"},
            "The specified key is an asym",
        ),
        ({"DATABASE_URL": "sqlite:////nowhere/at/all.db"}, "unable to open database file"),
        pytest.param(
            {"DATABASE_URL": "sqlite:///app.db", "RATE_LIMIT_STORAGE_URI": "redis://127.0.0.1:1"},
            "Error 111 connecting to 127.0.0.1:1. Connection refused.",
            marks=pytest.mark.skipif(not find_spec("redis"), reason="needs the extra redis"),
        ),
    ],
    ids=["no key", "public key", "no database", "no Redis"],
)
def test_server_that_cannot_start_says_why(
    settings: dict[str, str], reason: str, tmp_path: Path
) -> None:
    log = log_of_refused_start(tmp_path, **settings)

    assert f"Cannot start: {reason}" in log
    assert "nowhere" not in log  # The URL of the database can have a password.


def test_migration_that_fails_stops_the_start_and_changes_nothing(
    empty_engine: Engine, tmp_path: Path
) -> None:
    project = copy_app(tmp_path)
    newest = ScriptDirectory(str(project / "app/migrations")).get_current_head()
    (project / "app/migrations/versions/new.py").write_text(
        "from alembic import op\n"
        f"revision, down_revision = 'new', {newest!r}\n"
        "def upgrade() -> None:\n"
        "    op.execute('CREATE TABLE a (id INTEGER)')\n"
        "    raise LookupError('nonsense')\n",
        encoding="utf-8",
    )

    url = empty_engine.url.render_as_string(hide_password=False)
    log = log_of_refused_start(tmp_path, PYTHONPATH=str(project), DATABASE_URL=url)

    assert "Cannot start: " in log
    assert "nonsense" in log
    assert inspect(empty_engine).get_table_names() == []


def test_two_workers_can_start_at_once_on_an_empty_database(tmp_path: Path) -> None:
    with new_database(tmp_path) as url, running_server(url, "--workers", "2") as server:
        wait_until(lambda: server.read_log().count("Application startup complete") == 2)
        with server.client() as client:
            first = client.post("/auth/register", json=ALICE)
            second = client.post("/auth/register", json=ALICE)
        log = server.read_log()

    assert [first.status_code, second.status_code] == [201, 409]
    # The worker that comes second finds the migrations applied.
    assert log.count("Applied migration 0001: Create users and posts.") == 1
    assert log.count("Applied migration 0002: Compare usernames in ASCII.") == 1
    assert log.count(f"User {first.json()['id']} is an admin, as the first user") == 1


def test_every_file_is_opened_with_a_named_encoding(tmp_path: Path) -> None:
    code = "import app.main, app.make_admin; app.main.upgrade_database()"
    options = ["-X", "warn_default_encoding", "-W", "error::EncodingWarning"]

    result = run(*options, "-c", code, directory=tmp_path, FASTAPI_ENV="development")

    assert result.returncode == 0, result.stderr


def test_server_exports_traces_to_opentelemetry(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")
    with socket.create_server(("127.0.0.1", 0)) as collector:
        collector.settimeout(30)
        settings = {
            "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.getsockname()[1]}",
            "OTEL_BSP_SCHEDULE_DELAY": "1",  # Milliseconds.
        }
        url = f"sqlite:///{tmp_path}/test.db"
        with running_server(url, **settings) as server, server.client() as client:
            response = client.get("/health")
            with collector.accept()[0] as exporter:
                export = exporter.recv(20)
            server.process.kill()  # Or it would go on exporting for a while.

    assert response.status_code == 200
    assert export.startswith(b"POST /v1/traces ")
