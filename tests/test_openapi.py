"""Whether `openapi.json` says what the app does. DocumentedClient checks each response, too."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine
from sqlmodel import Session, SQLModel

from app.database import get_session
from app.main import app
from app.models import Greeting, Health, PostPublic, Token, User, UserPublic
from tests.client import DocumentedClient, check_documented
from tests.factories import PostFactory, UserFactory
from tests.operations import REQUESTS, send
from tests.tools.openapi import SNAPSHOT

DOCUMENT = app.openapi()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS: dict[str, Any] = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def operations_that_document(status: int, detail: str) -> list[str]:
    """List the operations that have this error among their responses."""
    return [
        name
        for name, operation in OPERATIONS.items()
        if detail in json.dumps(operation["responses"].get(str(status)))
    ]


def test_document_is_the_same_as_the_snapshot() -> None:
    snapshot = json.loads(SNAPSHOT.read_text())

    assert snapshot == DOCUMENT, "If you meant to change it: uv run python -m tests.tools.openapi"


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_each_operation_is_described(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"].endswith(".")
    assert len(operation["tags"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "schema"),
    [
        ("POST", "/auth/register", "UserCreate"),
        ("PATCH", "/users/me", "UserUpdate"),
        ("PUT", "/users/me/password", "PasswordUpdate"),
        ("PATCH", "/admin/users/42", "UserAdminUpdate"),
        ("POST", "/posts", "PostCreate"),
        ("PATCH", "/posts/7", "PostUpdate"),
    ],
)
def test_example_of_a_request_body_works(
    method: str, path: str, schema: str, admin_client: TestClient
) -> None:
    PostFactory.create(id=7, author=UserFactory.create(id=42))

    response = admin_client.request(method, path, json=SCHEMAS[schema]["example"])

    assert response.is_success, response.text


@pytest.mark.parametrize("model", [UserPublic, PostPublic, Token, Greeting, Health])
def test_example_of_a_response_is_a_whole_response(model: type[SQLModel]) -> None:
    example = SCHEMAS[model.__name__]["example"]

    assert model.model_validate(example).model_dump(mode="json") == example


# The tests below show that what is documented does happen. The errors of few operations, such as
# "Too many failed attempts", have their tests where those operations have theirs.


@pytest.mark.parametrize(
    "operation", operations_that_document(401, "Could not validate credentials")
)
def test_401_is_documented_only_where_it_happens(
    operation: str, client: TestClient, user: User
) -> None:
    response = send(client, operation, user, PostFactory.create())

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("operation", operations_that_document(403, "Admin access required"))
def test_403_is_documented_only_where_it_happens(
    operation: str, user_client: TestClient, user: User
) -> None:
    response = send(user_client, operation, user, PostFactory.create())

    assert response.status_code == 403
    assert response.json() == {"detail": "Admin access required"}


@pytest.mark.parametrize("operation", operations_that_document(404, "not found"))
def test_404_is_documented_only_where_it_happens(operation: str, admin_client: TestClient) -> None:
    nobody, nothing = UserFactory.build(id=2**40), PostFactory.build(id=2**40)

    response = send(admin_client, operation, nobody, nothing)

    assert response.status_code == 404


@pytest.mark.parametrize("operation", operations_that_document(413, "Content Too Large"))
def test_413_is_documented_only_where_it_happens(operation: str, admin_client: TestClient) -> None:
    method, path = operation.format(user_id=1, post_id=1).split()

    # Only a form is read as a form, but JSON is read whatever the media type is.
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    response = admin_client.request(method, path, content=b" " * (1024 * 1024 + 1), headers=form)

    assert response.status_code == 413


@pytest.mark.parametrize("operation", operations_that_document(503, "Database unavailable"))
def test_503_is_documented_only_where_it_happens(
    operation: str, user_client: TestClient, user: User
) -> None:
    post = PostFactory.create()
    app.dependency_overrides[get_session] = lambda: Session(
        create_engine("sqlite:////nowhere/nothing.db")
    )

    response = send(user_client, operation, user, post)

    assert response.status_code == 503
    assert response.json() == {"detail": "Database unavailable"}
    assert response.headers["Retry-After"] == "5"


def test_400_is_documented_where_there_is_a_body() -> None:
    operations_with_a_body = [name for name, request in REQUESTS.items() if request]

    documented = operations_that_document(400, "There was an error parsing the body")

    assert sorted(documented) == sorted(operations_with_a_body)


def test_client_notices_an_undocumented_status(client: TestClient) -> None:
    response = client.get("/health")
    response.status_code = 418

    with pytest.raises(AssertionError, match="GET /health: 418"):
        check_documented(response)


def test_client_notices_an_undocumented_error(monkeypatch: pytest.MonkeyPatch) -> None:
    client = DocumentedClient(app)
    response = client.get("/users/me")
    monkeypatch.setattr(response, "json", lambda: {"detail": "Go away"})

    with pytest.raises(AssertionError, match="GET /users/me: 401"):
        check_documented(response)
