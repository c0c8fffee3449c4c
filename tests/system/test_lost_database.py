"""A database that is locked, gone or silent gives a 503 and a line in the log, until it is back."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_connection, socket
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Event, Thread

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, NullPool, create_engine
from sqlmodel import Session, SQLModel, delete, update

from app import sqlite
from app.database import POOL_SIZE, lock_users
from app.main import app
from app.models import Post, User
from tests.databases import TEST_DATABASE_URL, new_database, new_engine, used_by_app_and_factories
from tests.factories import PASSWORD, PostFactory
from tests.system.server import wait_until

REGISTRATION = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Use a database that others can reach too, and wait only a moment for locks."""
    monkeypatch.setattr(sqlite, "LOCK_MILLISECONDS", 100)
    if TEST_DATABASE_URL:
        monkeypatch.setattr("app.postgres.STATEMENT_SECONDS", 0.1)
    directory = tmp_path / "data"
    directory.mkdir()
    with new_database(directory) as url, new_engine(url) as engine:
        SQLModel.metadata.create_all(engine)
        with used_by_app_and_factories(engine):
            yield engine


@contextmanager
def taken_away(engine: Engine) -> Iterator[None]:
    """Move the file away, or close PostgreSQL to this database."""
    if engine.dialect.name == "sqlite":
        directory = Path(str(engine.url.database)).parent
        moved = directory.rename(directory.with_name("moved"))
        yield
        moved.rename(directory)
        return
    name = engine.url.database
    other = create_engine(
        engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    with other.connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.exec_driver_sql(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        yield
        connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_log_says_why_the_database_is_unavailable(caplog: pytest.LogCaptureFixture) -> None:
    engine = sqlite.build_engine("sqlite:////nowhere/at/all.db", POOL_SIZE)

    with used_by_app_and_factories(engine):
        response = TestClient(app).get("/posts")

    assert response.status_code == 503
    assert "Database unavailable: " in caplog.text
    assert "unable to open database file" in caplog.text


def test_app_recovers_by_itself(client: TestClient, engine: Engine) -> None:
    post = PostFactory.create()

    with taken_away(engine):
        response = client.get(f"/posts/{post.id}")

    assert response.status_code == 503
    assert client.get(f"/posts/{post.id}").status_code == 200


def test_client_does_not_notice_that_idle_connections_were_lost(
    client: TestClient, engine: Engine
) -> None:
    before = client.get("/posts")
    with taken_away(engine):
        pass
    after = client.get("/posts")

    assert [before.status_code, after.status_code] == [200, 200]


def test_write_waits_only_so_long_for_a_lock(
    user_client: TestClient, user: User, engine: Engine
) -> None:
    post = PostFactory.create(author=user, title="Before")

    with Session(engine) as other:
        other.exec(update(Post).values(title="Not committed"))
        response = user_client.patch(f"/posts/{post.id}", json={"title": "After"})
        reading = user_client.get(f"/posts/{post.id}")

    assert response.status_code == 503
    assert reading.json()["title"] == "Before"
    assert user_client.patch(f"/posts/{post.id}", json={"title": "After"}).status_code == 200


def test_registering_while_the_database_is_locked_is_no_conflict(
    client: TestClient, user: User, engine: Engine
) -> None:
    with Session(engine) as other:
        lock_users(other)
        response = client.post("/auth/register", json=REGISTRATION)

    assert response.status_code == 503
    assert client.post("/auth/register", json=REGISTRATION).status_code == 201


def test_service_that_can_only_read_is_not_healthy(client: TestClient, engine: Engine) -> None:
    read_only = (
        create_engine(f"sqlite:///file:{engine.url.database}?mode=ro&uri=true")
        if engine.dialect.name == "sqlite"
        else create_engine(
            engine.url, connect_args={"options": "-c default_transaction_read_only=on"}
        )
    )

    with used_by_app_and_factories(read_only):
        health = client.get("/health")
        posts = client.get("/posts")

    read_only.dispose()
    assert health.status_code == 503
    assert posts.status_code == 200


@pytest.mark.skipif(not TEST_DATABASE_URL, reason="SQLite only locks the whole file")
def test_service_is_healthy_while_an_account_is_deleted(
    client: TestClient, user: User, engine: Engine
) -> None:
    """With many posts, that can take two seconds."""
    PostFactory.create(author=user)

    with Session(engine) as other:
        lock_users(other)
        other.exec(delete(User))  # The posts go with their users.
        response = client.get("/health")

    assert response.status_code == 200


class Proxy(ThreadingTCPServer):
    """Pass on what PostgreSQL and its clients say, or fall silent for up to 10 seconds."""

    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Tunnel)
        self.postgres = (host, port)
        self.speaks = Event()
        self.speaks.set()


class Tunnel(BaseRequestHandler):
    server: Proxy
    request: socket

    def handle(self) -> None:
        with create_connection(self.server.postgres) as postgres:
            Thread(target=self.copy, args=(postgres, self.request), daemon=True).start()
            self.copy(self.request, postgres)

    def copy(self, source: socket, target: socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.server.speaks.wait(timeout=10)
                target.sendall(data)


@pytest.mark.skipif(not TEST_DATABASE_URL, reason="needs PostgreSQL")
def test_silent_postgres_is_given_up(engine: Engine) -> None:
    with Proxy(engine.url.host or "", engine.url.port or 5432) as proxy:
        Thread(target=proxy.serve_forever).start()
        url = engine.url.set(host="127.0.0.1", port=proxy.server_address[1])
        with (
            new_engine(url.render_as_string(hide_password=False)) as proxied,
            used_by_app_and_factories(proxied),
        ):
            client = TestClient(app)
            before = client.get("/health")
            proxy.speaks.clear()
            silent = client.get("/health")
            proxy.speaks.set()
            after = client.get("/health")
        proxy.shutdown()

    assert [before.status_code, silent.status_code, after.status_code] == [200, 503, 200]


@pytest.mark.skipif(not TEST_DATABASE_URL, reason="needs PostgreSQL")
def test_statement_that_was_given_up_does_not_go_on_in_the_server(
    user_client: TestClient, user: User, engine: Engine
) -> None:
    post = PostFactory.create(author=user)
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )

    with Session(engine) as other:
        other.exec(update(Post).values(title="Not committed"))
        response = user_client.patch(f"/posts/{post.id}", json={"title": "After"})
        connection = other.connection()
        wait_until(lambda: connection.exec_driver_sql(waiting).scalar() == 0)

    assert response.status_code == 503


def test_sqlite_file_that_was_deleted_is_unavailable(tmp_path: Path) -> None:
    file = tmp_path / "test.db"
    file.touch()
    engine = sqlite.build_engine(f"sqlite:///{file}", POOL_SIZE)
    SQLModel.metadata.create_all(engine)

    with used_by_app_and_factories(engine):
        client = TestClient(app)
        before = client.get("/posts")
        file.unlink()
        after = client.post("/auth/register", json=REGISTRATION)

    engine.dispose()
    assert [before.status_code, after.status_code] == [200, 503]
    assert not file.exists()


def test_sqlite_file_that_was_replaced_is_used(tmp_path: Path) -> None:
    file, backup = tmp_path / "test.db", tmp_path / "backup.db"
    file.touch()
    engine = sqlite.build_engine(f"sqlite:///{file}", POOL_SIZE)
    SQLModel.metadata.create_all(engine)
    engine.dispose()  # Now all of it is in the file.
    shutil.copy(file, backup)

    with used_by_app_and_factories(engine):
        client = TestClient(app)
        before = client.post("/auth/register", json=REGISTRATION)
        engine.dispose()
        client.get("/posts")
        backup.rename(file)
        after = client.post("/auth/register", json=REGISTRATION)

    engine.dispose()
    assert [before.status_code, after.status_code] == [201, 201]


def test_sqlite_file_that_is_not_a_database_is_unavailable(tmp_path: Path) -> None:
    file = tmp_path / "test.db"
    file.write_text("This is not a database.")
    engine = sqlite.build_engine(f"sqlite:///{file}", POOL_SIZE)

    with used_by_app_and_factories(engine):
        response = TestClient(app).get("/posts")

    engine.dispose()
    assert response.status_code == 503


def test_sqlite_file_that_is_damaged_is_unavailable(tmp_path: Path) -> None:
    file = tmp_path / "test.db"
    file.touch()
    engine = sqlite.build_engine(f"sqlite:///{file}", POOL_SIZE)
    SQLModel.metadata.create_all(engine)
    engine.dispose()
    first_page = file.read_bytes()[:4096]  # It says which tables there are, and where.
    file.write_bytes(first_page.ljust(file.stat().st_size, b"?"))

    with used_by_app_and_factories(engine):
        response = TestClient(app).get("/posts")

    engine.dispose()
    assert response.status_code == 503
