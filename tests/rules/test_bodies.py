"""How bodies are read: how large they may be, and which ones can't be read at all."""

import json

import pytest
from fastapi.testclient import TestClient

from app.models import User
from tests.factories import PASSWORD
from tests.operations import JSON_OPERATIONS, example_of, make_rows, send

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ORIGIN = "https://allowed.example.com"


@pytest.mark.parametrize("operation", JSON_OPERATIONS)
def test_body_may_be_as_long_as_the_limit(
    operation: str, admin_client: TestClient, admin: User
) -> None:
    ids = make_rows(operation, owner=admin)
    body = json.dumps(example_of(operation)["json"])
    limit = 16_384 if " /auth/" in operation else 1_048_576
    headers = JSON | {"Origin": ORIGIN}

    longer = send(admin_client, operation, ids, content=body.ljust(limit + 1), headers=headers)
    response = send(admin_client, operation, ids, content=body.ljust(limit), headers=headers)

    assert longer.status_code == 413
    assert longer.headers["X-Content-Type-Options"] == "nosniff"
    assert longer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert response.is_success


@pytest.mark.parametrize(
    ("form", "status"),
    [
        (b"username=user", 422),
        (b"username=%FF&password=x", 422),
        (b"username=user&password=%00", 422),
        (b"username=user&password=x&grant_type=implicit", 422),
        pytest.param(b"x&" * 1_001, 400, id="1,001 fields"),
    ],
)
def test_invalid_login_form_is_refused(client: TestClient, form: bytes, status: int) -> None:
    response = client.post("/auth/token", content=form, headers=FORM)

    assert response.status_code == status


def test_body_of_another_media_type_is_refused(user_client: TestClient) -> None:
    update = user_client.patch("/users/me", content='{"username": "renamed"}')
    login = user_client.post("/auth/token", json={"username": "user", "password": PASSWORD})

    assert (update.status_code, login.status_code) == (422, 422)


@pytest.mark.parametrize(
    ("charset", "status"),
    [("", 200), ("; charset=utf-8", 400), ("; CHARSET*=utf-8''punycode", 400)],
)
def test_client_cannot_choose_the_charset_of_a_multipart_form(
    client: TestClient, user: User, charset: str, status: int
) -> None:
    """Python keeps unknown names of charsets forever, and takes long to decode from some others."""
    form = {"username": (None, "user"), "password": (None, PASSWORD)}
    # The first header counts.
    content_type = f"multipart/form-data; boundary=part{charset};"
    headers = [("Content-Type", content_type), ("Content-Type", "text/plain")]

    response = client.post("/auth/token", files=form, headers=headers)

    assert response.status_code == status
    assert response.headers["X-Content-Type-Options"] == "nosniff"
