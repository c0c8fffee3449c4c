"""Measure how long the app takes: `uv run pytest tests/tools/benchmark_operations.py`.

To see what a change costs, run it with `--benchmark-save=before`, and after the change with
`--benchmark-compare`, on a quiet machine. Passwords are hashed cheaply, as in all tests.
"""

from asyncio import Runner
from typing import Any

import pytest
from httpx2 import Request
from pytest_benchmark.fixture import BenchmarkFixture
from sqlalchemy import Engine
from starlette.types import Message

from app.main import app
from app.security import create_token
from tests.databases import delete_all_rows
from tests.factories import UserFactory
from tests.operations import LISTS, OPERATIONS, example_of, make_list_rows, make_rows


async def call_app(request: Request) -> int:
    """Send a request and return the status. TestClient would take longer than the app itself."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": request.read()}

    async def send(message: Message) -> None:
        sent.append(message)

    method, path, query = request.method, request.url.path, request.url.query
    headers = [(name.lower(), value) for name, value in request.headers.raw]
    scope = {"type": "http", "method": method, "path": path, "root_path": ""}
    await app({**scope, "query_string": query, "headers": headers}, receive, send)
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation(operation: str, engine: Engine, benchmark: BenchmarkFixture) -> None:
    def make_request() -> tuple[tuple[Request], dict[str, Any]]:
        """Start each round with the same rows, and lists with more of them than a page has."""
        delete_all_rows(engine)
        admin, _ = UserFactory.create_batch(2, admin=True)
        ids = make_rows(operation, owner=admin)
        for _ in range(3 if operation in LISTS else 0):
            make_list_rows(operation, ids, owner=admin)
        method, path = operation.split()
        token = create_token(admin.id, admin.token_version)
        options = {"headers": {"Authorization": f"Bearer {token}"}, **example_of(operation)}
        return (Request(method, f"http://localhost{path.format(**ids)}", **options),), {}

    with Runner() as runner:
        status = benchmark.pedantic(  # type: ignore[no-untyped-call]  # It has no types.
            lambda request: runner.run(call_app(request)), setup=make_request, rounds=100
        )

    assert status < 300
