"""What clients get when an endpoint of your own runs into an error that it doesn't catch."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import Engine, create_engine, event, exc, text
from sqlmodel import Session, select

from app.database import SessionDep
from app.main import app as real_app
from app.models import User
from tests.operations import send

UNAVAILABLE = {"detail": "Database unavailable"}
BUG = {"detail": "Internal Server Error"}


@pytest.fixture
def small_app() -> FastAPI:
    """Make an app without endpoints that handles errors as ours does."""
    app = FastAPI(middleware=real_app.user_middleware)
    app.exception_handlers = real_app.exception_handlers
    return app


def post_to(endpoint: Callable[[], object], app: FastAPI) -> Response:
    """Add an endpoint to an app, and call it from a web page on another host."""
    app.post("/", response_model=None)(endpoint)
    client = TestClient(app, raise_server_exceptions=False)
    return client.post("/", headers={"Origin": "https://allowed.example.com"})


@pytest.mark.parametrize(
    ("operation", "moment"),
    [("POST /auth/register", "before_insert"), ("PATCH /users/me", "before_update")],
)
def test_change_that_the_database_refuses_is_a_conflict(
    operation: str, moment: str, user_client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """It says that a name or an email is taken only if that is the reason."""

    def leave_out_the_hash(_: object, __: object, user: User) -> None:
        user.hashed_password = None  # type: ignore[assignment]

    event.listen(User, moment, leave_out_the_hash)
    response = send(user_client, operation, {})
    event.remove(User, moment, leave_out_the_hash)

    assert response.status_code == 409
    assert response.json() == {"detail": "Conflicts with the current data"}
    assert "WARNING" in caplog.text
    assert "The database refused a change: " in caplog.text
    assert "hashed_password" in caplog.text
    assert "alice@example.com" not in caplog.text  # PostgreSQL shows the whole row.


def test_database_is_unavailable_when_it_cannot_be_reached(
    small_app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    response = post_to(create_engine("sqlite:////nowhere/nothing.db").connect, small_app)

    assert response.status_code == 503
    assert response.json() == UNAVAILABLE
    assert response.headers["Retry-After"] == "5"
    assert response.headers["Access-Control-Allow-Origin"] == "https://allowed.example.com"
    assert "ERROR" in caplog.text
    assert "Database unavailable: OperationalError" in caplog.text


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (exc.InterfaceError("SELECT 1", {}, OSError()), 503, UNAVAILABLE),
        (exc.TimeoutError(), 503, UNAVAILABLE),
        (exc.DBAPIError("SELECT 1", {}, OSError(), connection_invalidated=True), 503, UNAVAILABLE),
        (exc.DBAPIError("SELECT 1", {}, OSError()), 500, BUG),
    ],
    ids=["closed by the driver", "no free connection in the pool", "lost", "anything else"],
)
def test_database_is_unavailable_only_when_the_connection_is_lost(
    small_app: FastAPI, error: exc.SQLAlchemyError, status: int, body: dict[str, str]
) -> None:
    def fail() -> None:
        raise error

    response = post_to(fail, small_app)

    assert response.status_code == status
    assert response.json() == body


def test_mistake_in_sql_is_a_bug(small_app: FastAPI, engine: Engine) -> None:
    """SQLite raises an OperationalError for it, as it does when it can't open the file."""

    def run_sql() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT price FROM users"))

    response = post_to(run_sql, small_app)

    assert response.status_code == 500
    assert response.json() == BUG


def test_bug_has_the_body_and_headers_of_all_errors_and_is_raised(small_app: FastAPI) -> None:
    response = post_to(lambda: 1 / 0, small_app)

    assert response.status_code == 500
    assert response.json() == BUG
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Access-Control-Allow-Origin"] == "https://allowed.example.com"
    # The server logs what is raised.
    with pytest.raises(ZeroDivisionError):
        TestClient(small_app).post("/")


def test_session_cannot_be_used_after_its_request(
    small_app: FastAPI, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a stream or a background task that does would take connections forever."""
    monkeypatch.setattr("app.database.engine", engine)
    sessions: list[Session] = []

    @small_app.get("/")
    def keep(session: SessionDep) -> None:
        sessions.append(session)

    TestClient(small_app).get("/")

    with pytest.raises(exc.InvalidRequestError, match="permanently closed"):
        sessions[0].exec(select(User))


def test_websocket_can_use_the_database(
    small_app: FastAPI, engine: Engine, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The small app has the real `get_session`, so give that the database of the test.
    monkeypatch.setattr("app.database.engine", engine)

    @small_app.websocket("/")
    async def greet(websocket: WebSocket, session: SessionDep) -> None:
        await websocket.accept()
        await websocket.send_text(session.exec(select(User.username)).one())
        await websocket.close()

    with TestClient(small_app).websocket_connect("/") as websocket:
        greeting = websocket.receive_text()

    assert greeting == "user"
