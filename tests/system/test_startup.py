"""What a server does when it starts, and why it may refuse to."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from sqlalchemy import inspect

from tests.databases import new_database, new_engine
from tests.system.migrations import copy_app, write_migration
from tests.system.server import ROOT, find_free_port, starting_server, wait_until

ACCOUNT = {"username": "alice", "email": "alice@example.com", "password": "horse staple"}
KEY_HINT = "SECRET_KEY is not set; make one with: python -c 'import secrets; print("


def log_of_refused_start(database_url: str, project: Path = ROOT, **settings: str) -> str:
    """Start a server that can't start, and return its log."""
    with starting_server(database_url, project=project, **settings) as server:
        # Uvicorn starts a worker again and again, unless it ends with this status.
        assert server.process.wait(60) == 3
        log = server.read_log()

    assert "Traceback" not in log
    return log


def test_server_without_a_key_says_how_to_make_one(tmp_path: Path) -> None:
    log = log_of_refused_start(f"sqlite:///{tmp_path}/test.db", SECRET_KEY="")

    assert f"Cannot start: {KEY_HINT}" in log
    assert not (tmp_path / "test.db").exists()


def test_server_that_cannot_open_its_database_says_so() -> None:
    log = log_of_refused_start("sqlite:////nowhere/at/all.db")

    assert "Cannot start: unable to open database file" in log


@pytest.mark.skipif(not find_spec("redis"), reason="needs the extra redis")
def test_server_that_cannot_reach_redis_says_so(tmp_path: Path) -> None:
    redis = "redis://127.0.0.1:1"
    log = log_of_refused_start(f"sqlite:///{tmp_path}/test.db", RATE_LIMIT_STORAGE_URI=redis)

    assert "Cannot start: RATE_LIMIT_STORAGE_URI can't be reached" in log


def test_migration_that_fails_stops_the_start_and_changes_nothing(tmp_path: Path) -> None:
    project = copy_app(tmp_path)
    create, fail = "CREATE TABLE scratch (id INTEGER)", "SELECT nonsense FROM users"
    write_migration(project, "bad", f"op.execute('{create}'); op.execute('{fail}')")

    with new_database(tmp_path) as url, new_engine(url) as engine:
        log = log_of_refused_start(url, project)
        tables = inspect(engine).get_table_names()

    assert "Cannot start: " in log
    assert "nonsense" in log
    assert tables == []


def test_migrations_that_follow_the_same_one_stop_the_start(tmp_path: Path) -> None:
    project = copy_app(tmp_path)
    write_migration(project, "one", "pass")
    write_migration(project, "two", "pass")

    log = log_of_refused_start(f"sqlite:///{tmp_path}/test.db", project)

    assert "Cannot start: Multiple head revisions are present" in log


def test_two_workers_can_start_at_once_on_an_empty_database(tmp_path: Path) -> None:
    port = find_free_port()
    with (
        new_database(tmp_path) as url,
        starting_server(url, "--workers", "2", "--port", str(port)) as server,
    ):
        wait_until(lambda: server.read_log().count("Application startup complete") == 2)
        server.url = f"http://127.0.0.1:{port}"
        with server.client() as client:
            first = client.post("/auth/register", json=ACCOUNT)
            second = client.post("/auth/register", json=ACCOUNT)
        log = server.read_log()

    assert [first.status_code, second.status_code] == [201, 409]
    # The worker that comes second finds the migrations applied.
    assert log.count("Applied migration 0001: Create users and posts.") == 1
    assert log.count("Applied migration 0002: Compare usernames in ASCII.") == 1
    assert log.count(f"User {first.json()['id']} is an admin, as the first user") == 1


def test_path_with_two_slashes_at_its_start_works(tmp_path: Path) -> None:
    """SQLite takes such a path for a host in a `file:` URI, but not as a plain path."""
    with starting_server(f"sqlite:////{tmp_path}/test.db") as server:
        server.wait_until_started()
        with server.client() as client:
            assert client.get("/health").status_code == 200

    assert (tmp_path / "test.db").exists()


def test_project_can_be_in_a_folder_with_any_name(tmp_path: Path) -> None:
    directory = tmp_path / "Mes projets été 100%41"
    directory.mkdir()
    project = copy_app(directory)
    # As a checkout on Windows has them.
    for file in project.rglob("*.py"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))

    with starting_server("sqlite:///app.db", project=project) as server:
        server.wait_until_started()
        with server.client() as client:
            assert client.post("/auth/register", json=ACCOUNT).status_code == 201


class Collector(BaseHTTPRequestHandler):
    """Receive what OpenTelemetry exports, and note the paths."""

    paths: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.paths.append(self.path)
        self.send_response(200)
        self.end_headers()


def test_server_exports_traces_to_opentelemetry(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        Thread(target=collector.serve_forever).start()
        with starting_server(
            f"sqlite:///{tmp_path}/test.db",
            FASTAPI_OTEL_AUTO_CONFIGURE="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}",
        ) as server:
            server.wait_until_started()
            with server.client() as client:
                response = client.get("/health")
        collector.shutdown()

    assert response.status_code == 200
    assert "/v1/traces" in Collector.paths
