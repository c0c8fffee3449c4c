"""What `openapi.json` says, against what the app does; tests/recorder.py checks each answer of the whole run too."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine

from app.database import get_engine
from app.main import app
from app.models import User
from tests.factories import PostFactory
from tests.openapi import SNAPSHOT
from tests.recorder import DOCUMENTED, Answer, find_undocumented

DOCUMENT = app.openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def test_document_is_the_one_in_the_snapshot() -> None:
    snapshot = json.loads(SNAPSHOT.read_text())

    assert snapshot == DOCUMENT, "if the change is meant: uv run python -m tests.openapi"


def test_operation_ids_are_short_and_stable() -> None:
    assert {name: operation["operationId"] for name, operation in OPERATIONS.items()} == {
        "GET /": "read_root",
        "GET /health": "read_health",
        "POST /auth/register": "register",
        "POST /auth/token": "create_access_token",
        "GET /users/me": "read_current_user",
        "PATCH /users/me": "update_current_user",
        "PUT /users/me/password": "update_password",
        "DELETE /users/me": "delete_current_user",
        "GET /admin/users": "list_users",
        "PATCH /admin/users/{user_id}": "update_user",
        "DELETE /admin/users/{user_id}": "delete_user",
        "POST /posts": "create_post",
        "GET /posts": "list_posts",
        "GET /posts/{post_id}": "read_post",
        "PATCH /posts/{post_id}": "update_post",
        "DELETE /posts/{post_id}": "delete_post",
    }


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_each_operation_is_described(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"].endswith(".")
    assert len(operation["tags"]) == 1
    assert any(status.startswith("4") for status in operation["responses"])


def example(operation: str, **others: object) -> dict[str, Any]:
    """Return the body that Swagger UI suggests: the example of each field, or what is given instead."""
    contents = OPERATIONS[operation].get("requestBody", {}).get("content", {})
    for media_type, content in contents.items():
        fields = DOCUMENT["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]["properties"]
        body = {name: field.get("examples", [field.get("default", True)])[0] for name, field in fields.items()}
        body |= {name: value for name, value in others.items() if name in fields}
        return {"json" if media_type == "application/json" else "data": body}
    return {}


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if example(name)])
def test_each_example_of_a_body_works_as_it_stands(operation: str, client: TestClient) -> None:
    """Do what a visitor of /docs would: register, authorize, publish a post, and then try the operation."""
    answers = [client.post("/auth/register", **example("POST /auth/register"))]
    answers += [client.post("/auth/token", **example("POST /auth/token"))]
    client.headers["Authorization"] = f"Bearer {answers[1].json()['access_token']}"
    answers += [client.post("/posts", **example("POST /posts"))]
    method, path = operation.format(user_id=answers[0].json()["id"], post_id=answers[2].json()["id"]).split()

    answers += [client.request(method, path, **example(operation))]

    # Only to register twice with the same name is refused.
    assert [answer.is_success for answer in answers] == [True, True, True, path != "/auth/register"]


# What makes a request be refused with a text: the value of a field, or another body or header altogether.
FIELDS: dict[str, dict[str, object]] = {
    "Incorrect username or password": {"password": "wrong"},
    "Current password is incorrect": {"current_password": "wrong"},
    "Too many failed logins": {"password": "wrong", "current_password": "wrong"},
    "The last admin cannot be removed": {"is_admin": False},
}
REQUESTS: dict[str, dict[str, Any]] = {
    "Not authenticated": {"headers": {"Authorization": ""}},
    "Could not validate credentials": {"headers": {"Authorization": "Bearer not.a.token"}},
    "There was an error parsing the body": {
        "json": None,
        "content": b"\xff",
        "headers": {"Content-Type": "application/json"},
    },
    "Too many fields. Maximum number of fields is 1000.": {"data": dict.fromkeys(map(str, range(1001)), "")},
    "Content Too Large": {"json": None, "data": None, "content": b" " * (1024 * 1024 + 1)},
}


@pytest.mark.parametrize(
    ("operation", "status", "detail"), sorted(answer for answer in set().union(*DOCUMENTED.values()) if answer.detail)
)
def test_each_documented_error_is_answered(
    operation: str, status: int, detail: str, user_client: TestClient, admin_client: TestClient, admin: User
) -> None:
    post = PostFactory.create(author__username="alice", author__email="alice@example.com")
    ids = {"user_id": admin.id, "post_id": post.id} if status != 404 else {"user_id": 2**40, "post_id": 2**40}
    method, path = operation.format(**ids).split()
    request = example(operation, **FIELDS.get(detail, {})) | REQUESTS.get(detail, {})
    client = user_client if status == 403 else admin_client
    if status == 503:
        app.dependency_overrides[get_engine] = lambda: create_engine("sqlite:////nowhere/lost.db")
    for _ in range(10 if status == 429 else 0):
        client.request(method, path, **request)

    response = client.request(method, path, **request)

    assert response.status_code == status
    assert detail in response.text


def test_recorder_sees_what_the_app_answers(client: TestClient, answers: set[Answer]) -> None:
    client.get("/posts/1")
    client.get("/posts?limit=0")

    assert answers == {Answer("GET /posts/{post_id}", 404, "Post not found"), Answer("GET /posts", 422)}


def test_recorder_reports_what_is_not_documented() -> None:
    documented = {Answer("GET /health", 200), Answer("GET /posts/{post_id}", 404, "Post not found")}
    undocumented = {Answer("GET /health", 418), Answer("GET /posts/{post_id}", 404, "Nothing here")}

    assert find_undocumented(documented | undocumented) == undocumented
