"""A database that is locked, gone, silent or broken is a 503 that says so in the log, and passes by itself."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager, suppress
from os import cpu_count, environ
from pathlib import Path
from socket import create_connection, socket
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Event, Thread

import pytest
from anyio.from_thread import start_blocking_portal
from fastapi.testclient import TestClient
from sqlalchemy import Engine, NullPool, create_engine
from sqlmodel import Session, update

from app import database
from app.database import POOL_SIZE, build_engine, create_tables, place_at_database
from app.dependencies import HashingTurn
from app.main import app
from app.models import Post, User
from app.security import create_token
from tests.databases import new_database, used_by_app_and_factories
from tests.factories import PASSWORD, PostFactory

needs_postgres = pytest.mark.skipif("TEST_DATABASE_URL" not in environ, reason="needs PostgreSQL")

REGISTRATION = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Use a database that others can reach too, and wait only a moment for locks."""
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.1)
    monkeypatch.setattr(database, "STATEMENT_SECONDS", 0.1)
    (tmp_path / "data").mkdir()
    with new_database(tmp_path / "data") as url, used_by_app_and_factories(build_engine(url)) as engine:
        create_tables(engine)
        yield engine
        engine.dispose()


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
    others = create_engine(engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with others.connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        yield
        connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/health", None),
        ("POST", "/auth/register", REGISTRATION),
        ("GET", "/users/me", None),
        ("PATCH", "/users/me", {"username": "bob"}),
        ("PUT", "/users/me/password", {"current_password": PASSWORD, "new_password": PASSWORD}),
        ("DELETE", "/users/me", None),
        ("GET", "/admin/users", None),
        ("PATCH", "/admin/users/1", {"is_admin": True}),
        ("DELETE", "/admin/users/1", None),
        ("POST", "/posts", {"title": "Hello", "content": "My first post."}),
        ("GET", "/posts", None),
        ("GET", "/posts/1", None),
        ("PATCH", "/posts/1", {"title": "Hello"}),
        ("DELETE", "/posts/1", None),
    ],
)
def test_operation_is_unavailable_without_a_database(
    caplog: pytest.LogCaptureFixture, method: str, path: str, body: dict[str, object] | None
) -> None:
    headers = {"Authorization": f"Bearer {create_token(user_id=1, version=0)}"}

    with used_by_app_and_factories(build_engine("sqlite:////nowhere/at/all.db")):
        response = TestClient(app, headers=headers).request(method, path, json=body)

    assert response.status_code == 503
    assert response.json() == {"detail": "Database unavailable"}
    assert response.headers["Retry-After"] == "5"
    assert "unable to open database file" in caplog.text


def test_login_is_unavailable_without_a_database() -> None:
    with used_by_app_and_factories(build_engine("sqlite:////nowhere/at/all.db")):
        response = TestClient(app).post("/auth/token", data={"username": "alice", "password": PASSWORD})

    assert response.status_code == 503


def test_app_recovers_by_itself(client: TestClient, engine: Engine) -> None:
    post = PostFactory.create()

    with taken_away(engine):
        response = client.get(f"/posts/{post.id}")

    assert response.status_code == 503
    assert client.get(f"/posts/{post.id}").status_code == 200


def test_write_waits_only_so_long_for_a_lock(
    user_client: TestClient, user: User, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    post = PostFactory.create(author=user, title="Before")

    with Session(engine) as other:
        other.exec(update(Post).values(title="Not committed"))
        response = user_client.patch(f"/posts/{post.id}", json={"title": "After"})
        reading = user_client.get(f"/posts/{post.id}")

    assert response.status_code == 503
    assert reading.json()["title"] == "Before"
    assert "Database unavailable: " in caplog.text
    assert user_client.patch(f"/posts/{post.id}", json={"title": "After"}).status_code == 200


class Proxy(ThreadingTCPServer):
    """Pass on what PostgreSQL and its clients say, or fall silent: not for ever, lest the test hang too."""

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


@needs_postgres
def test_silent_postgres_is_given_up(engine: Engine) -> None:
    with Proxy(engine.url.host or "", engine.url.port or 5432) as proxy:
        Thread(target=proxy.serve_forever).start()
        url = engine.url.set(host="127.0.0.1", port=proxy.server_address[1])
        with used_by_app_and_factories(build_engine(url.render_as_string(hide_password=False))) as proxied:
            client = TestClient(app)
            before = client.get("/health")
            proxy.speaks.clear()
            response = client.get("/health")
            proxy.speaks.set()
            after = client.get("/health")
            proxied.dispose()
        proxy.shutdown()

    assert [before.status_code, response.status_code, after.status_code] == [200, 503, 200]


def test_sqlite_file_that_is_no_database_is_unavailable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "test.db").write_text("This is no database.")

    with used_by_app_and_factories(build_engine(f"sqlite:///{tmp_path}/test.db")):
        response = TestClient(app).get("/posts")

    assert response.status_code == 503
    assert "file is not a database" in caplog.text


def test_write_to_a_deleted_sqlite_file_is_not_acknowledged(tmp_path: Path) -> None:
    file = tmp_path / "test.db"
    with used_by_app_and_factories(build_engine(f"sqlite:///{file}")) as engine:
        create_tables(engine)
        client = TestClient(app)
        assert client.get("/posts").status_code == 200  # From now on a connection is open.
        file.unlink()

        response = client.post("/auth/register", json=REGISTRATION)

        engine.dispose()
    assert response.status_code == 503


@pytest.mark.parametrize(
    ("turn", "turns"),
    [(place_at_database, POOL_SIZE), (asynccontextmanager(HashingTurn.dependency), cpu_count() or 1)],
    ids=["database", "hashing"],
)
def test_request_waits_only_so_long_for_its_turn(
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    turn: Callable[[], AbstractAsyncContextManager[None]],
    turns: int,
) -> None:
    monkeypatch.setattr(database, "ADMISSION_SECONDS", 0.01)

    with start_blocking_portal() as portal, ExitStack() as others:
        for _ in range(turns):
            others.enter_context(portal.wrap_async_context_manager(turn()))
        response = client.post("/auth/register", json=REGISTRATION)

    assert response.status_code == 503
    assert response.json() == {"detail": "Database unavailable"}
    assert client.post("/auth/register", json=REGISTRATION).status_code == 201
