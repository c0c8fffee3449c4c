"""How bodies are read: how large they may be, and which ones can't be read at all."""

import json

import pytest
from fastapi.testclient import TestClient

from app.models import User
from tests.factories import PASSWORD, PostFactory
from tests.operations import JSON_OPERATIONS, REQUESTS, send

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
LOGIN = f"username=user&password={PASSWORD}&ignored="
LIMITS = [
    ("POST /auth/register", 16_384),
    ("PATCH /users/me", 16_384),
    ("PUT /users/me/password", 16_384),
    ("PATCH /admin/users/{user_id}", 1_048_576),
    ("POST /posts", 1_048_576),
    ("PATCH /posts/{post_id}", 1_048_576),
]


@pytest.mark.parametrize(("operation", "limit"), LIMITS)
def test_body_of_the_greatest_size_is_read(
    operation: str, limit: int, admin_client: TestClient, user: User
) -> None:
    body = json.dumps(REQUESTS[operation]["json"]).ljust(limit)

    response = send(admin_client, operation, user, PostFactory.create(), content=body, headers=JSON)

    assert response.is_success


@pytest.mark.parametrize(("operation", "limit"), LIMITS)
def test_body_with_one_byte_more_is_too_large(
    operation: str, limit: int, admin_client: TestClient, user: User
) -> None:
    body = json.dumps(REQUESTS[operation]["json"]).ljust(limit + 1)

    response = send(admin_client, operation, user, PostFactory.create(), content=body, headers=JSON)

    assert response.status_code == 413
    assert response.json() == {"detail": "Content Too Large"}


def test_login_of_the_greatest_size_is_read(client: TestClient, user: User) -> None:
    response = client.post("/auth/token", content=LOGIN.ljust(16_384, "x"), headers=FORM)

    assert response.status_code == 200


def test_login_with_one_byte_more_is_too_large(client: TestClient, user: User) -> None:
    response = client.post("/auth/token", content=LOGIN.ljust(16_385, "x"), headers=FORM)

    assert response.status_code == 413


def test_body_sent_in_parts_is_measured_too(user_client: TestClient) -> None:
    parts = (b" " * 100_000 for _ in range(11))

    response = user_client.post("/posts", content=parts, headers=JSON)

    assert response.status_code == 413


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"null", 422),
        (b"[]", 422),
        (b"NaN", 422),
        (b'"title"', 422),
        (b'{"title": "\xff"}', 400),
    ],
)
def test_body_that_is_not_an_object_is_refused(
    user_client: TestClient, body: bytes, status: int
) -> None:
    response = user_client.post("/posts", content=body, headers=JSON)

    assert response.status_code == status


@pytest.mark.parametrize("operation", JSON_OPERATIONS)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(json.dumps({f"{n}": 0 for n in range(1_200)}), 422, id="1,200 fields"),
        pytest.param("[" * 16_384, 400, id="16,384 brackets"),
        pytest.param('{"a": ' + "9" * 4_000 + "}", 422, id="4,000 digits"),
        pytest.param('{"a": ' + "9" * 5_000 + "}", 400, id="5,000 digits"),
        pytest.param('{"a": 1e999999}', 422, id="infinity"),
    ],
)
def test_body_that_is_hard_to_parse_is_refused(
    operation: str, body: str, status: int, admin_client: TestClient, user: User
) -> None:
    response = send(admin_client, operation, user, PostFactory.create(), content=body, headers=JSON)

    assert response.status_code == status


def test_json_without_its_media_type_is_refused(user_client: TestClient) -> None:
    response = user_client.post("/posts", content='{"title": "Hello", "content": "Hello."}')

    assert response.status_code == 422


@pytest.mark.parametrize(
    ("form", "status"),
    [
        (b"", 422),
        (b"username=user", 422),
        (b"username=%FF&password=x", 422),
        (b"username=" + b"x" * 51 + b"&password=x", 422),
        (b"username=user&password=%00", 422),
        (b"username=user&password=%C2%85", 422),
        (b"username=user&password=" + b"x" * 129, 422),
        (b"username=user&password=" + b"x" * 5_000, 422),
        (b"username=user&password=x&grant_type=implicit", 422),
        (b"x&" * 1_001, 400),
    ],
)
def test_invalid_login_form_is_refused(client: TestClient, form: bytes, status: int) -> None:
    response = client.post("/auth/token", content=form, headers=FORM)

    assert response.status_code == status


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 422),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=part", 400),
    ],
)
def test_login_in_another_format_is_refused(
    client: TestClient, media_type: str, status: int
) -> None:
    login = {"username": "user", "password": PASSWORD}

    response = client.post(
        "/auth/token", content=json.dumps(login), headers={"Content-Type": media_type}
    )

    assert response.status_code == status


@pytest.mark.parametrize(
    ("charset", "password", "status"),
    [
        ("undefined", b"x", 400),
        ("utf-16", b"x", 422),
        # Each of these is a NUL.
        ("utf-7", b"+AAA-", 422),
        ("unicode_escape", b"\\x00", 422),
        ("rot13", b"\x00", 422),
    ],
)
def test_multipart_login_in_an_odd_charset_is_refused(
    client: TestClient, user: User, charset: str, password: bytes, status: int
) -> None:
    form = (
        b'--part\r\nContent-Disposition: form-data; name="username"\r\n\r\nuser\r\n'
        b'--part\r\nContent-Disposition: form-data; name="password"\r\n\r\n%b\r\n--part--\r\n'
    )
    media_type = f"multipart/form-data; boundary=part; charset={charset}"

    response = client.post(
        "/auth/token", content=form % password, headers={"Content-Type": media_type}
    )

    assert response.status_code == status
