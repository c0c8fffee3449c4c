"""What only a real server shows: its start, kept connections, addresses, attacks and its end."""

import socket
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from app.dependencies import HASHING_SLOTS, HashingSlot
from tests.databases import new_database
from tests.system.server import (
    ACCOUNT,
    SERVE,
    SETTINGS,
    Server,
    copy_app,
    receive,
    run,
    running_server,
    send_at_once,
    send_login,
    wait_until,
)


def log_of_refused_start(directory: Path, **variables: str) -> str:
    """Start a server that can't start, and return its log."""
    result = run(*SERVE, directory=directory, **SETTINGS | variables)

    # Uvicorn starts a worker again and again, unless it ends with this status.
    assert result.returncode == 3
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        # The database of SETTINGS doesn't exist, either.
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set; make one with: python -c 'import secrets; "),
        ({"DATABASE_URL": "sqlite:////nowhere/at/all.db"}, "unable to open database file"),
        pytest.param(
            {"DATABASE_URL": "sqlite:///app.db", "RATE_LIMIT_STORAGE_URI": "redis://127.0.0.1:1"},
            "RATE_LIMIT_STORAGE_URI can't be reached",
            marks=pytest.mark.skipif(not find_spec("redis"), reason="needs the extra redis"),
        ),
    ],
    ids=["no key", "no database", "no Redis"],
)
def test_server_that_cannot_start_says_why(
    settings: dict[str, str], reason: str, tmp_path: Path
) -> None:
    assert f"Cannot start: {reason}" in log_of_refused_start(tmp_path, **settings)


@pytest.mark.parametrize(
    ("upgrades", "reason"),
    [
        (["op.execute('CREATE TABLE a (id INTEGER)'); op.execute('SELECT nonsense')"], "nonsense"),
        (["pass", "pass"], "Multiple head revisions are present"),
    ],
    ids=["failing migration", "two that follow the same one"],
)
def test_migrations_that_fail_stop_the_start_and_change_nothing(
    upgrades: list[str], reason: str, empty_engine: Engine, tmp_path: Path
) -> None:
    project = copy_app(tmp_path)
    newest = ScriptDirectory(str(project / "app/migrations")).get_current_head()
    for number, upgrade in enumerate(upgrades):
        (project / f"app/migrations/versions/new{number}.py").write_text(
            "from alembic import op\n"
            f"revision, down_revision = 'new{number}', {newest!r}\n"
            f"def upgrade() -> None:\n    {upgrade}\n",
            encoding="utf-8",
        )

    url = empty_engine.url.render_as_string(hide_password=False)
    log = log_of_refused_start(tmp_path, PYTHONPATH=str(project), DATABASE_URL=url)

    assert "Cannot start: " in log
    assert reason in log
    assert inspect(empty_engine).get_table_names() == []


def test_two_workers_can_start_at_once_on_an_empty_database(tmp_path: Path) -> None:
    with new_database(tmp_path) as url, running_server(url, "--workers", "2") as server:
        wait_until(lambda: server.read_log().count("Application startup complete") == 2)
        with server.client() as client:
            first = client.post("/auth/register", json=ACCOUNT)
            second = client.post("/auth/register", json=ACCOUNT)
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


def test_head_sends_no_body_on_a_connection_that_is_kept(server: Server) -> None:
    """Otherwise the client would read the body as the beginning of the next response."""
    with server.connect() as connection:
        connection.sendall(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, next_response = receive(connection).split(b"\r\n\r\n", maxsplit=1)

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 15" in head
    assert next_response.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(("number", "address"), [(0, "192.0.2.1"), (1, "127.0.0.1")])
def test_only_a_trusted_proxy_says_who_the_client_is(
    number: int, address: str, servers: list[Server]
) -> None:
    """Uvicorn trusts 127.0.0.1, but not where FORWARDED_ALLOW_IPS names another one."""
    server = servers[number]
    with server.client(**{"X-Forwarded-For": "192.0.2.1"}) as client:
        response = client.post("/auth/token", data={"username": "nobody", "password": "guess"})

    assert response.status_code == 401
    assert f"Refused /auth/token from {address} for user None" in server.read_log()


def test_guesses_at_once_are_throttled(server: Server) -> None:
    guesses = [
        {"method": "POST", "url": "/auth/token", "data": ACCOUNT | {"password": f"guess {n}"}}
        for n in range(50)
    ]
    # From an address of their own, or nobody could log in as this user in the next tests.
    with server.client(**{"X-Forwarded-For": "198.51.100.1"}) as client:
        client.post("/auth/register", json=ACCOUNT)

        responses = send_at_once([client], guesses)

    statuses = Counter(response.status_code for response in responses)
    assert statuses.keys() == {401, 429}
    # The guess in the other hashing slot is verified too.
    assert statuses[401] in (10, 11)


def test_no_password_is_verified_for_clients_that_are_gone(server: Server) -> None:
    patient = [server.connect() for _ in range(HASHING_SLOTS)]
    impatient = [server.connect() for _ in range(60)]
    with server.client() as client:
        client.post("/auth/register", json=ACCOUNT)
        earlier = server.read_log()

        for number, connection in enumerate(patient + impatient):
            send_login(connection, username=f"nobody{number}", password="guess")
        # The server has read all of these logins when it answers this request.
        client.get("/")
        for connection in impatient:
            connection.close()
        response = client.post("/auth/token", data=ACCOUNT)

    for connection in patient:
        connection.close()
    assert response.status_code == 200
    # Of the impatient, a few may have been verified before they were gone.
    verified = server.read_log().removeprefix(earlier).count("for user None")
    assert 0 < verified < 30


def test_two_passwords_are_hashed_at_once() -> None:
    assert HashingSlot.max_concurrency == HASHING_SLOTS == 2


def test_stopping_server_answers_requests_in_flight_and_closes_its_database(tmp_path: Path) -> None:
    with running_server(f"sqlite:///{tmp_path}/test.db") as server, server.client() as client:
        client.post("/auth/register", json=ACCOUNT)
        connections = [server.connect() for _ in range(6)]
        for connection in connections:
            send_login(connection, username=ACCOUNT["username"], password=ACCOUNT["password"])
        # The server has read these requests when it answers this one.
        client.get("/")
        server.process.terminate()
        answers = [connection.recv(65536) for connection in connections]
        for connection in connections:
            connection.close()

    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * 6
    # SQLite then has everything in one file, which can be copied.
    assert [file.name for file in tmp_path.iterdir()] == ["test.db"]
