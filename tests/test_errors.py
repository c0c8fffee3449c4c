"""What clients get when an endpoint of your own runs into an error that it doesn't catch."""

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import Engine, QueuePool, create_engine, delete, text
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.orm import registry
from sqlmodel import Field, Session, SQLModel

from app.main import app as real_app

CONFLICT = {"detail": "Conflicts with the current data"}
UNAVAILABLE = {"detail": "Database unavailable"}
BUG = {"detail": "Internal Server Error"}


class Row(SQLModel, registry=registry()):
    """With its own registry, so that these tables aren't among those of the app."""

    id: int = Field(default=None, primary_key=True)


class Shop(Row, table=True):
    name: str = Field(unique=True)


class Product(Row, table=True):
    shop_id: int = Field(foreign_key="shop.id")


@pytest.fixture
def shop_engine(engine: Engine) -> Iterator[Engine]:
    """Add the tables of this file to the database of the test."""
    Row.metadata.create_all(engine)
    yield engine
    Row.metadata.drop_all(engine)


def post_to(endpoint: Callable[[], None]) -> Response:
    """Send a POST request to an app with this one endpoint, and with our error handlers."""
    app = FastAPI()
    app.exception_handlers = real_app.exception_handlers
    app.post("/")(endpoint)
    return TestClient(app, raise_server_exceptions=False).post("/")


def test_breaking_a_unique_constraint_is_a_conflict(
    shop_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    def create_two_shops_of_one_name() -> None:
        with Session(shop_engine) as session:
            session.add_all([Shop(name="Same"), Shop(name="Same")])
            session.commit()

    response = post_to(create_two_shops_of_one_name)

    assert response.status_code == 409
    assert response.json() == CONFLICT
    assert "WARNING" in caplog.text
    assert "The database refused a change: " in caplog.text
    assert "unique constraint" in caplog.text.lower()
    assert "Same" not in caplog.text


def test_breaking_a_foreign_key_is_a_conflict(shop_engine: Engine) -> None:
    def create_product_of_no_shop() -> None:
        with Session(shop_engine) as session:
            session.add(Product(shop_id=1))
            session.commit()

    response = post_to(create_product_of_no_shop)

    assert response.status_code == 409
    assert response.json() == CONFLICT


def test_updating_a_deleted_row_is_a_conflict(
    shop_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    def update_shop_that_is_gone() -> None:
        with Session(shop_engine, expire_on_commit=False) as session:
            shop = Shop(name="Before")
            session.add(shop)
            session.commit()
            shop.name = "After"
            session.connection().execute(delete(Shop))
            session.commit()

    response = post_to(update_shop_that_is_gone)

    assert response.status_code == 409
    assert response.json() == CONFLICT
    assert "The database refused a change: UPDATE statement on table 'shop'" in caplog.text


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM shops", "SELECT price FROM shop", "SELECT no_function()", "SELEC 1"]
)
def test_mistake_in_sql_is_a_bug(sql: str, shop_engine: Engine) -> None:
    """SQLite raises an OperationalError for it, as it does when it can't open the file."""

    def run_sql() -> None:
        with shop_engine.connect() as connection:
            connection.execute(text(sql))

    response = post_to(run_sql)

    assert response.status_code == 500
    assert response.json() == BUG


def test_bug_is_raised_to_the_server_which_logs_it() -> None:
    app = FastAPI()
    app.exception_handlers = real_app.exception_handlers

    @app.get("/")
    def divide_by_zero() -> float:
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        TestClient(app).get("/")


def test_bug_has_the_same_form_as_other_errors() -> None:
    def divide_by_zero() -> None:
        _ = 1 / 0

    response = post_to(divide_by_zero)

    assert response.status_code == 500
    assert response.json() == BUG


def test_database_is_unavailable_when_it_cannot_be_reached(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = create_engine("sqlite:////nowhere/nothing.db")

    def connect() -> None:
        engine.connect()

    response = post_to(connect)

    assert response.status_code == 503
    assert response.json() == UNAVAILABLE
    assert response.headers["Retry-After"] == "5"
    assert "ERROR" in caplog.text
    assert "Database unavailable: OperationalError" in caplog.text


def test_database_is_unavailable_when_the_pool_has_no_free_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = create_engine(
        "sqlite://", poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0
    )

    def connect() -> None:
        engine.connect()

    with engine.connect():
        response = post_to(connect)

    engine.dispose()
    assert response.status_code == 503
    assert response.json() == UNAVAILABLE
    assert response.headers["Retry-After"] == "5"
    assert "Database unavailable: TimeoutError" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        InterfaceError("SELECT 1", {}, Exception()),
        DBAPIError("SELECT 1", {}, Exception(), connection_invalidated=True),
    ],
    ids=["closed by the driver", "lost"],
)
def test_database_is_unavailable_when_the_connection_is_lost(error: DBAPIError) -> None:
    def lose_connection() -> None:
        raise error

    response = post_to(lose_connection)

    assert response.status_code == 503
    assert response.json() == UNAVAILABLE


def test_any_other_database_error_is_a_bug() -> None:
    def fail() -> None:
        raise DBAPIError("SELECT 1", {}, Exception())

    response = post_to(fail)

    assert response.status_code == 500
    assert response.json() == BUG
