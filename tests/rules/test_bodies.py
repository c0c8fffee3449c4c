"""How bodies are read: how large they may be, and which ones can't be read at all."""

import json

import pytest
from fastapi.testclient import TestClient

from app.models import User
from tests.factories import PASSWORD
from tests.operations import JSON_OPERATIONS, example_of, make_rows, send

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
LOGIN = f"username=user&password={PASSWORD}&ignored="
LIMITS = [
    (operation, 16_384 if " /auth/" in operation else 1_048_576) for operation in JSON_OPERATIONS
]


@pytest.mark.parametrize(("operation", "limit"), LIMITS)
def test_body_of_the_greatest_size_is_read(
    operation: str, limit: int, admin_client: TestClient, admin: User, user: User
) -> None:
    ids = make_rows(operation, owner=user, actor=admin)
    body = json.dumps(example_of(operation)["json"]).ljust(limit)

    response = send(admin_client, operation, ids, content=body, headers=JSON)

    assert response.is_success


@pytest.mark.parametrize(("operation", "limit"), LIMITS)
def test_body_with_one_byte_more_is_too_large(
    operation: str, limit: int, admin_client: TestClient, admin: User, user: User
) -> None:
    ids = make_rows(operation, owner=user, actor=admin)
    body = json.dumps(example_of(operation)["json"]).ljust(limit + 1)
    headers = JSON | {"Origin": "https://allowed.example.com"}

    response = send(admin_client, operation, ids, content=body, headers=headers)

    assert response.status_code == 413
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Access-Control-Allow-Origin"] == "https://allowed.example.com"


@pytest.mark.parametrize(("size", "status"), [(16_384, 200), (16_385, 413)])
def test_login_form_has_the_same_limit(
    client: TestClient, user: User, size: int, status: int
) -> None:
    response = client.post("/auth/token", content=LOGIN.ljust(size, "x"), headers=FORM)

    assert response.status_code == status


def test_body_sent_in_parts_is_measured_too(user_client: TestClient) -> None:
    parts = (b" " * 100_000 for _ in range(11))

    response = user_client.patch("/users/me", content=parts, headers=JSON)

    assert response.status_code == 413


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 422),
        ("{", 422),
        ("null", 422),
        ("[]", 422),
        ("NaN", 422),
        ('"title"', 422),
        ('{"a": 1e999999}', 422),
        (r'{"\ud800": 1}', 422),
        (b'{"username": "\xff"}', 400),
        pytest.param(json.dumps({f"{n}": 0 for n in range(1_200)}), 422, id="1,200 fields"),
        pytest.param('{"a": ' + "9" * 4_000 + "}", 422, id="4,000 digits"),
        pytest.param('{"a": ' + "9" * 5_000 + "}", 400, id="5,000 digits"),
        pytest.param("[" * 16_384, 400, id="16,384 brackets"),
    ],
)
def test_body_that_cannot_be_read_is_refused(
    user_client: TestClient, body: bytes | str, status: int
) -> None:
    response = user_client.patch("/users/me", content=body, headers=JSON)

    assert response.status_code == status


def test_json_without_its_media_type_is_refused(user_client: TestClient) -> None:
    response = user_client.patch("/users/me", content='{"username": "renamed"}')

    assert response.status_code == 422


@pytest.mark.parametrize(
    ("form", "status"),
    [
        (b"", 422),
        (b"username=user", 422),
        (b"username=%FF&password=x", 422),
        pytest.param(b"username=" + b"x" * 51 + b"&password=x", 422, id="long name"),
        (b"username=user&password=%00", 422),
        (b"username=user&password=%C2%85", 422),
        pytest.param(b"username=user&password=" + b"x" * 129, 422, id="long password"),
        (b"username=user&password=x&grant_type=implicit", 422),
        pytest.param(b"x&" * 1_001, 400, id="1,001 fields"),
    ],
)
def test_invalid_login_form_is_refused(client: TestClient, form: bytes, status: int) -> None:
    response = client.post("/auth/token", content=form, headers=FORM)

    assert response.status_code == status


def test_login_is_refused_when_it_is_json(client: TestClient) -> None:
    response = client.post("/auth/token", json={"username": "user", "password": PASSWORD})

    assert response.status_code == 422


@pytest.mark.parametrize(
    ("charset", "status"), [("utf-8", 401), ("utf-7", 422), ("undefined", 400)]
)
def test_password_is_checked_after_the_charset_is_decoded(
    client: TestClient, charset: str, status: int
) -> None:
    """The client chooses the charset. In UTF-7, this password is a NUL."""
    part = 'Content-Disposition: form-data; name="{}"\r\n\r\n{}\r\n--part'
    form = (
        f"--part\r\n{part.format('username', 'user')}\r\n{part.format('password', '+AAA-')}--\r\n"
    )
    media_type = f"multipart/form-data; boundary=part; charset={charset}"

    response = client.post("/auth/token", content=form, headers={"Content-Type": media_type})

    assert response.status_code == status
