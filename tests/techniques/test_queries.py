"""How many statements the app sends, how long it keeps a connection, and which indexes it uses."""

import re
from collections.abc import AsyncIterator, Iterator
from inspect import iscoroutinefunction, signature
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event
from sqlmodel import Session
from starlette.types import Message, Receive, Scope, Send

from app import dependencies
from app.database import SessionDep, get_session
from app.dependencies import take_hashing_slot
from app.main import app
from app.models import User
from tests.client import DocumentedClient, client_of
from tests.factories import UserFactory
from tests.operations import LISTS, OPERATIONS, make_list_rows, make_rows, send

# The SQL and its parameters, as they are sent to the database.
Statement = tuple[str, Any]


@pytest.fixture
def statements(engine: Engine) -> Iterator[list[Statement]]:
    """Collect all statements. Clear it right before the request that the test is about."""
    collected: list[Statement] = []

    def collect(_: object, __: object, sql: str, parameters: Any, *___: object) -> None:
        collected.append((sql, parameters))

    event.listen(engine, "before_cursor_execute", collect)
    yield collected
    event.remove(engine, "before_cursor_execute", collect)


@pytest.mark.parametrize("operation", LISTS)
def test_long_list_takes_as_many_queries_as_a_short_one(
    operation: str, admin_client: TestClient, admin: User, statements: list[Statement]
) -> None:
    ids = make_rows(operation, owner=admin)
    make_list_rows(operation, ids, owner=admin)
    statements.clear()
    short_list = send(admin_client, operation, ids, params={"limit": 2})
    short_queries = len(statements)
    statements.clear()

    long_list = send(admin_client, operation, ids, params={"limit": 20})

    assert (len(short_list.json()), len(long_list.json())) == (2, 20), (
        "Make rows for this list in make_list_rows in tests/operations.py"
    )
    assert len(statements) == short_queries, (
        "Load what belongs to the rows together: select(...).options(selectinload(...))"
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_operation_sends_the_same_query_twice(
    operation: str, admin_client: TestClient, admin: User, statements: list[Statement]
) -> None:
    UserFactory.create(admin=True)
    ids = make_rows(operation, owner=admin)
    statements.clear()

    response = send(admin_client, operation, ids)

    assert response.is_success, f"{response.text} Make its rows in make_rows in tests/operations.py"
    queries = [statement for statement in statements if statement[0].startswith("SELECT")]
    assert [query for query in queries if queries.count(query) > 1] == []


def test_functions_that_use_the_database_are_not_async() -> None:
    """While they wait for it, no other request would be answered."""
    endpoints = [route.endpoint for route in iter_route_contexts(app.routes)]
    coroutines = filter(iscoroutinefunction, [*endpoints, *vars(dependencies).values()])

    wrong = [
        function.__name__
        for function in coroutines
        if SessionDep in [each.annotation for each in signature(function).parameters.values()]
    ]
    assert not wrong, f"Write `def` instead of `async def`, so that they run in a thread: {wrong}"


def is_lock(sql: str) -> bool:
    return sql == "BEGIN IMMEDIATE" or sql.startswith("LOCK TABLE users")


def test_first_user_looks_for_others_again_after_locking(
    client: TestClient, statements: list[Statement]
) -> None:
    """Others may be the first at the same time. Without the lock, all of them would be admins."""
    send(client, "POST /auth/register", {})

    steps = ["lock" if is_lock(sql) else sql.split()[0] for sql, _ in statements]
    assert steps == ["SELECT", "lock", "SELECT", "INSERT"]
    assert statements[0] == statements[2]
    assert statements[3][0].startswith("INSERT INTO users")


def test_later_users_take_no_lock(
    client: TestClient, user: User, statements: list[Statement]
) -> None:
    """Otherwise they would wait for each other."""
    statements.clear()

    send(client, "POST /auth/register", {})

    assert [sql for sql, _ in statements if is_lock(sql)] == []


def test_database_deletes_what_belongs_to_a_user(
    user_client: TestClient, statements: list[Statement]
) -> None:
    """Otherwise SQLAlchemy would read all of it first, as without `passive_deletes`."""
    statements.clear()

    send(user_client, "DELETE /users/me", {})

    tables = re.findall(r"FROM (\w+)", " ".join(sql for sql, _ in statements))
    assert set(tables) == {"users"}


def test_admins_are_counted_after_locking(
    admin_client: TestClient, statements: list[Statement]
) -> None:
    """Others may leave at the same time. Without the lock, the last two could both go."""
    send(admin_client, "DELETE /users/me", {})

    *_, lock, count = [sql for sql, _ in statements]
    assert is_lock(lock)
    assert count.startswith("SELECT users.id")


@pytest.mark.parametrize(
    "operation", ["POST /auth/register", "POST /auth/token", "PUT /users/me/password"]
)
def test_hashing_slot_is_taken_first_and_all_is_given_back_before_the_response(
    operation: str, user: User, engine: Engine
) -> None:
    """So requests that wait for a slot hold no connection, and slow clients hold neither."""
    steps: list[str] = []

    async def observed_slot() -> AsyncIterator[None]:
        steps.append("slot taken")
        yield
        steps.append("slot given back")

    async def observed_session() -> AsyncIterator[Session]:
        steps.append("session opened")
        with Session(engine, expire_on_commit=False) as session:
            yield session
        steps.append("session closed")

    async def observed_app(scope: Scope, receive: Receive, send: Send) -> None:
        async def observed_send(message: Message) -> None:
            steps.append(message["type"])
            await send(message)

        await app(scope, receive, observed_send)

    app.dependency_overrides |= {take_hashing_slot: observed_slot, get_session: observed_session}
    client = DocumentedClient(observed_app, headers=dict(client_of(user).headers))
    send(client, operation, make_rows(operation, owner=user))

    assert steps == [
        "slot taken",
        "session opened",
        "session closed",
        "slot given back",
        "http.response.start",
        "http.response.body",
    ], 'Do SessionDep and HashingSlot have scope="function"?'


def explain(statement: Statement, session: Session) -> str:
    """Ask the database how it finds the rows, and to use an index although there are few rows."""
    sql, parameters = statement
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)
        return "\n".join(row.detail for row in rows)
    for method in ("seqscan", "bitmapscan", "sort"):
        connection.exec_driver_sql(f"SET LOCAL enable_{method} = off")
    lines = connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {sql}", parameters).scalars()
    return "\n".join(lines)


def combine_parameters(operation: str) -> list[dict[str, Any]]:
    """Return all ways to ask for a page: after an id or not, with each filter or not, and so on."""
    ways: list[dict[str, Any]] = [{}]
    for parameter in OPERATIONS[operation]["parameters"]:
        if parameter["in"] == "query" and parameter["name"] != "limit":
            is_boolean = parameter["schema"].get("type") == "boolean"
            values = [True, False] if is_boolean else parameter["schema"].get("enum", [2])
            ways += [way | {parameter["name"]: value} for way in ways for value in values]
    return ways


@pytest.mark.parametrize(
    ("operation", "params"),
    [(operation, params) for operation in LISTS for params in combine_parameters(operation)],
    ids=str,
)
def test_page_is_found_by_an_index(
    operation: str,
    params: dict[str, Any],
    admin_client: TestClient,
    admin: User,
    session: Session,
    statements: list[Statement],
) -> None:
    ids = make_rows(operation, owner=admin)
    response = send(admin_client, operation, ids, params=params)

    assert response.is_success, f"{response.text} Correct the values in combine_parameters."
    plan = explain(statements[-1], session)
    # SQLite keeps rows in the order of their ids, so it scans them when there is no condition.
    has_condition = "WHERE" in statements[-1][0]
    assert "SEARCH" in plan or "Index Cond" in plan or not has_condition, (
        f"{operation} with {params} needs an index in app/models.py, which begins with the column"
        " of the filter and ends with the id. If none can help, as with a search within a text,"
        f" leave out the parameter in combine_parameters:\n{plan}"
    )
    assert not re.search("TEMP B-TREE|Sort|Seq Scan", plan), f"It sorts, or reads all rows:\n{plan}"


@pytest.mark.parametrize(
    ("operation", "index"),
    [("POST /auth/token", "ix_users_username"), ("DELETE /users/me", "ix_users_is_admin")],
)
def test_users_are_found_by_an_index(
    operation: str,
    index: str,
    admin_client: TestClient,
    admin: User,
    session: Session,
    statements: list[Statement],
) -> None:
    # The only admin isn't deleted, so the query for admins comes last.
    send(admin_client, operation, make_rows(operation, owner=admin))

    plan = explain(statements[-1], session)

    assert f"INDEX {index}" in plan or f"using {index}" in plan, (
        f"{operation} needs {index} in app/models.py:\n{plan}"
    )
