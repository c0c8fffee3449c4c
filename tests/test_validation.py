"""What the app accepts and what it refuses, at every bound and far beyond."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session, select

from app.models import Post, User
from tests.factories import PASSWORD, PostFactory

JSON = {"Content-Type": "application/json"}
FORM = "application/x-www-form-urlencoded"
REGISTRATION = {"username": "alice", "email": "alice@example.com", "password": "horse staple"}
POST = {"title": "Hello", "content": "My first post."}
# Each text field: where it is sent, the method, the rest of the body, its name.
TEXTS = {
    "username": ("POST /auth/register", REGISTRATION),
    "email": ("POST /auth/register", REGISTRATION),
    "password": ("POST /auth/register", REGISTRATION),
    "title": ("POST /posts", POST),
    "content": ("POST /posts", POST),
}
# C0, DEL and C1 of ISO/IEC 6429, of which tab, line feed and carriage return are at home in a text.
CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
MANY_SCRIPTS = "Ελληνικά 中文 עברית हिन्दी 👩🏽‍💻"


def send(client: TestClient, field: str, value: object) -> Any:
    """Send a body that is valid except for this field. `json.dumps` also writes NaN."""
    request_line, body = TEXTS[field]
    method, path = request_line.split()
    return client.request(method, path, content=json.dumps(body | {field: value}), headers=JSON)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "a"),
        ("username", "a" * 50),
        ("username", "A.b_c-9"),
        ("email", f"{'a' * 64}@{'b' * 43}.example.com"),
        ("password", "q1w8e7r5"),
        ("password", "x" * 128),
        ("password", " " * 8),
        ("password", MANY_SCRIPTS),
        ("title", "x"),
        ("title", "x" * 100),
        ("title", "中" * 100),
        ("title", MANY_SCRIPTS),
        ("content", "x"),
        ("content", "x" * 50_000),
        ("content", "👍" * 50_000),
        ("content", "line\n\tline\r\nline"),
    ],
)
def test_text_within_its_bounds_is_accepted(
    user_client: TestClient, field: str, value: str
) -> None:
    response = send(user_client, field, value)

    assert response.status_code == 201
    assert response.json().get(field, value) == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", ""),
        ("username", "a" * 51),
        ("username", "a b"),
        ("username", " alice"),
        ("username", "älice"),
        ("username", "a@b"),
        ("username", 1),
        ("username", None),
        ("email", ""),
        ("email", "alice"),
        ("email", "alice@"),
        ("email", "\u212a@example.com"),
        ("email", "alice@example.com\n"),
        ("email", "İ" * 120),
        ("email", "alice@localhost"),
        ("email", "Alice <alice@example.com>"),
        ("email", " alice@example.com"),
        ("email", "alice@example.com, bob@example.com"),
        ("email", f"{'a' * 64}@{'b' * 44}.example.com"),
        ("email", None),
        ("password", ""),
        ("password", "x" * 7),
        ("password", "x" * 129),
        ("password", "x" * 5_000),
        ("password", 12345678),
        ("password", None),
        ("title", ""),
        ("title", " \u00a0\u3000"),
        ("title", "x" * 101),
        ("title", "x" + " " * 100),
        ("title", 1),
        ("title", None),
        ("content", ""),
        ("content", " \n\t "),
        ("content", "x" * 50_001),
        ("content", ["x"]),
        ("content", None),
        *[
            (field, value)
            for field in TEXTS
            for value in ("before\ud800after", "\udfff", float("nan"), True)
        ],
    ],
)
def test_text_outside_its_bounds_is_refused(
    user_client: TestClient, field: str, value: object
) -> None:
    response = send(user_client, field, value)

    assert response.status_code == 422
    assert [reason["loc"] for reason in response.json()["detail"]] == [["body", field]]


@pytest.mark.parametrize("field", TEXTS)
def test_control_characters_are_refused(user_client: TestClient, field: str) -> None:
    accepted = [
        c
        for c in CONTROLS
        if send(user_client, field, TEXTS[field][1][field] + c + "x").status_code != 422
    ]

    assert accepted == (["\t", "\n", "\r"] if field == "content" else [])


@pytest.mark.parametrize(("field", "kept"), [("title", "Hello"), ("content", "My first post.")])
def test_white_space_around_a_post_is_stripped(
    user_client: TestClient, field: str, kept: str
) -> None:
    response = send(user_client, field, f"  \u3000{kept}\u00a0 ")

    assert response.status_code == 201
    assert response.json()[field] == kept


BODIES = {
    "POST /auth/register": REGISTRATION,
    "PATCH /users/me": {},
    "PUT /users/me/password": {"current_password": PASSWORD, "new_password": PASSWORD},
    "POST /posts": POST,
    "PATCH /posts/{post_id}": {},
    "PATCH /admin/users/{user_id}": {},
}


@pytest.mark.parametrize(
    "field", ["id", "user_id", "hashed_password", "cls", "self", "", "\x00", "\ud800"]
)
@pytest.mark.parametrize("operation", BODIES)
def test_unknown_field_is_refused(
    operation: str, field: str, admin_client: TestClient, admin: User
) -> None:
    post = PostFactory.create(author=admin)
    method, path = operation.format(post_id=post.id, user_id=admin.id).split()

    response = admin_client.request(
        method, path, content=json.dumps(BODIES[operation] | {field: 1}), headers=JSON
    )

    assert response.status_code == 422


@pytest.mark.parametrize("operation", ["POST /auth/register", "PATCH /users/me"])
def test_nobody_makes_himself_admin(operation: str, user_client: TestClient) -> None:
    method, path = operation.split()

    response = user_client.request(method, path, json=BODIES[operation] | {"is_admin": True})

    assert response.status_code == 422
    assert response.json() == {
        "detail": [
            {
                "type": "extra_forbidden",
                "loc": ["body", "is_admin"],
                "msg": "Extra inputs are not permitted",
            }
        ]
    }


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/users/me", "username"),
        ("/users/me", "email"),
        ("/posts/{post_id}", "title"),
        ("/posts/{post_id}", "content"),
        ("/admin/users/{user_id}", "is_admin"),
    ],
)
def test_null_is_no_change(path: str, field: str, admin_client: TestClient, admin: User) -> None:
    post = PostFactory.create(author=admin)

    response = admin_client.patch(
        path.format(post_id=post.id, user_id=admin.id), json={field: None}
    )

    assert response.status_code == 422
    assert [reason["loc"] for reason in response.json()["detail"]] == [["body", field]]


@pytest.mark.parametrize("path", ["/users/me", "/posts/{post_id}", "/admin/users/{user_id}"])
def test_empty_patch_changes_nothing(
    path: str, admin_client: TestClient, admin: User, session: Session
) -> None:
    post = PostFactory.create(author=admin)

    response = admin_client.patch(path.format(post_id=post.id, user_id=admin.id), json={})

    assert response.status_code == 200
    assert session.exec(select(Post)).one() == post
    assert session.exec(select(User)).one() == admin


@pytest.mark.parametrize("value", ["true", "yes", 1, 0, "", []])
def test_only_true_and_false_make_an_admin_or_not(
    value: object, admin_client: TestClient, admin: User
) -> None:
    response = admin_client.patch(f"/admin/users/{admin.id}", json={"is_admin": value})

    assert response.status_code == 422


@pytest.mark.parametrize(
    "path_id",
    [
        "0",
        "-1",
        str(2**63),
        "9" * 5_000,
        "1.5",
        "1e3",
        "0x1",
        "one",
        "null",
        "%00",
        "%FF",
        "%D9%A1",
    ],
)
@pytest.mark.parametrize(
    "operation",
    [
        "GET /posts/",
        "PATCH /posts/",
        "DELETE /posts/",
        "PATCH /admin/users/",
        "DELETE /admin/users/",
    ],
)
def test_id_that_no_row_can_have_is_refused(
    operation: str, path_id: str, admin_client: TestClient
) -> None:
    method, path = operation.split()

    response = admin_client.request(method, path + path_id, json={} if method == "PATCH" else None)

    assert response.status_code == 422


@pytest.mark.parametrize("path", ["/posts/", "/admin/users/"])
def test_greatest_id_may_be_asked_for(path: str, admin_client: TestClient) -> None:
    response = admin_client.request("DELETE", f"{path}{2**63 - 1}")

    assert response.status_code == 404


@pytest.mark.parametrize("path", ["/posts", "/admin/users"])
@pytest.mark.parametrize("query", ["limit=1", "limit=100", "after=0", f"after={2**63 - 1}"])
def test_page_within_its_bounds_is_answered(
    path: str, query: str, admin_client: TestClient
) -> None:
    response = admin_client.get(f"{path}?{query}")

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("path", "parameter", "value"),
    [
        *[
            (path, parameter, value)
            for path in ("/posts", "/admin/users")
            for parameter, values in {
                "limit": ["0", "-1", "101", "ten", "", "1.5", "NaN", "9" * 5_000, "%00"],
                "after": ["-1", str(2**63), "last", "", "%FF"],
            }.items()
            for value in values
        ],
        *[("/posts", "user_id", value) for value in ("0", "-1", str(2**63), "me", "")],
        *[("/posts", "order", value) for value in ("", "random", "OLDEST", "%00")],
    ],
)
def test_page_outside_its_bounds_is_refused(
    path: str, parameter: str, value: str, admin_client: TestClient
) -> None:
    response = admin_client.get(f"{path}?{parameter}={value}")

    assert response.status_code == 422
    assert [reason["loc"] for reason in response.json()["detail"]] == [["query", parameter]]


TOO_LONG = b" " * 3_000_000


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"null", 422),
        (b"[]", 422),
        (b"NaN", 422),
        (b'"title"', 422),
        (b"9" * 5_000, 400),
        (b'{"title": "\xff"}', 400),
        (b"[" * 15_000, 400),
        (TOO_LONG, 413),
    ],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize("operation", BODIES)
def test_body_that_is_no_object_is_refused(
    operation: str, body: bytes, status: int, admin_client: TestClient, admin: User
) -> None:
    post = PostFactory.create(author=admin)
    method, path = operation.format(post_id=post.id, user_id=admin.id).split()

    response = admin_client.request(method, path, content=body, headers=JSON)

    assert response.status_code == status


@pytest.mark.parametrize("operation", BODIES)
def test_body_is_refused_when_it_does_not_say_that_it_is_json(
    operation: str, admin_client: TestClient, admin: User
) -> None:
    post = PostFactory.create(author=admin)
    method, path = operation.format(post_id=post.id, user_id=admin.id).split()

    response = admin_client.request(method, path, content=json.dumps(BODIES[operation]))

    assert response.status_code == 422


def test_body_of_one_mebibyte_is_read(user_client: TestClient) -> None:
    body = json.dumps(POST).ljust(1024 * 1024)

    response = user_client.post("/posts", content=body, headers=JSON)

    assert response.status_code == 201


def test_body_sent_in_parts_is_measured_too(user_client: TestClient) -> None:
    parts = (b" " * 100_000 for _ in range(11))

    response = user_client.post("/posts", content=parts, headers=JSON)

    assert response.status_code == 413


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"", FORM, 422),
        (b"username=user", FORM, 422),
        (b"username=user&password=%00", FORM, 422),
        (b"username=user&password=%C2%85", FORM, 422),
        (b"username=%FF&password=x", FORM, 422),
        (b"username=user&password=" + b"x" * 129, FORM, 422),
        (b"username=user&password=" + b"x" * 5_000, FORM, 422),
        (b"username=" + b"x" * 51 + b"&password=x", FORM, 422),
        (b"username=user&password=x&grant_type=implicit", FORM, 422),
        (b"x&" * 1_001, FORM, 400),
        (b"x" * 3_000_000, FORM, 413),
        (b"no part of it", "multipart/form-data; boundary=part", 400),
        (b"", "multipart/form-data", 400),
        (b'{"username": "user", "password": "x"}', "application/json", 422),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_broken_login_is_refused(
    body: bytes, media_type: str, status: int, client: TestClient, user: User
) -> None:
    response = client.post("/auth/token", content=body, headers={"Content-Type": media_type})

    assert response.status_code == status


def test_other_fields_of_a_login_are_ignored(client: TestClient, user: User) -> None:
    form = {
        "grant_type": "password",
        "scope": "",
        "client_id": "x",
        "username": "user",
        "password": PASSWORD,
    }

    response = client.post("/auth/token", data=form)

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        (
            "POST",
            "/auth/register",
            {"json": REGISTRATION | {"password": "secret", "unknown": "secret"}},
        ),
        (
            "POST",
            "/auth/token",
            {"data": {"username": "secret secret", "password": "secret" * 100}},
        ),
        (
            "PUT",
            "/users/me/password",
            {"json": {"current_password": "secret\0", "new_password": "secret"}},
        ),
        ("PUT", "/users/me/password", {"json": "secret"}),
        ("PATCH", "/users/me", {"json": {"username": "secret!", "email": "secret"}}),
        ("POST", "/posts", {"content": b'{"secret', "headers": JSON}),
        ("GET", "/posts?limit=secret&order=secret", {}),
        ("GET", "/posts/secret", {}),
    ],
)
def test_refusal_never_repeats_what_was_sent(
    method: str, path: str, body: dict[str, Any], user_client: TestClient
) -> None:
    response = user_client.request(method, path, **body)

    assert response.status_code == 422
    assert "secret" not in response.text


def test_refusal_says_where_and_why(user_client: TestClient) -> None:
    response = user_client.post("/posts", json={"title": ""})

    assert response.status_code == 422
    assert response.json() == {
        "detail": [
            {
                "type": "string_too_short",
                "loc": ["body", "title"],
                "msg": "String should have at least 1 character",
            },
            {"type": "missing", "loc": ["body", "content"], "msg": "Field required"},
        ]
    }
