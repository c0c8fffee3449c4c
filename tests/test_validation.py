"""Which values the API accepts and which it refuses, at every bound and far beyond."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session, select

from app.models import Post, User
from tests.factories import PostFactory
from tests.operations import JSON_OPERATIONS, REQUESTS, send

JSON = {"Content-Type": "application/json"}
ACCOUNT = {"username": "alice", "email": "alice@example.com", "password": "horse staple"}
POST = {"title": "Hello", "content": "My first post."}
MANY_SCRIPTS = "Ελληνικά 中文 עברית हिन्दी 👩🏽‍💻"

# These need `json.dumps`, as the argument `json` of the client refuses NaN and lone surrogates.
NOT_STRINGS = [True, 1.5, float("nan"), "before\ud800after", "\udfff"]
# The first and the last of each range of control characters, and those next to \t, \n and \r.
CONTROLS = ["\x00", "\x08", "\x0b", "\x0c", "\x0e", "\x1f", "\x7f", "\x80", "\x9f"]
LINES_AND_TABS = ["\t", "\n", "\r"]


@pytest.mark.parametrize("username", ["a", "a" * 50, "A.b_c-9"])
def test_valid_username_is_accepted(client: TestClient, username: str) -> None:
    response = client.post("/auth/register", json=ACCOUNT | {"username": username})

    assert response.status_code == 201
    assert response.json()["username"] == username


@pytest.mark.parametrize(
    "username", ["", "a" * 51, "a b", " alice", "alice\n", "älice", "a@b", 1, None]
)
def test_invalid_username_is_refused(client: TestClient, username: object) -> None:
    response = client.post("/auth/register", json=ACCOUNT | {"username": username})

    assert response.status_code == 422
    assert [reason["loc"] for reason in response.json()["detail"]] == [["body", "username"]]


@pytest.mark.parametrize("email", ["a@shop.test", f"{'a' * 64}@{'b' * 43}.example.com"])
def test_valid_email_is_accepted(client: TestClient, email: str) -> None:
    response = client.post("/auth/register", json=ACCOUNT | {"email": email})

    assert response.status_code == 201
    assert response.json()["email"] == email


@pytest.mark.parametrize(
    "email",
    [
        "",
        "alice",
        "alice@",
        "alice@localhost",
        " alice@example.com",
        "alice@example.com\n",
        "Alice <alice@example.com>",
        "alice@example.com, bob@example.com",
        f"{'a' * 64}@{'b' * 44}.example.com",
        f"{'a' * 65}@example.com",
        f"alice@{'b' * 64}.com",
        # In lower case, the Kelvin sign is a k, and each İ becomes two characters.
        "\u212a@example.com",
        "İ" * 120,
        1,
        None,
    ],
)
def test_invalid_email_is_refused(client: TestClient, email: object) -> None:
    response = client.post("/auth/register", json=ACCOUNT | {"email": email})

    assert response.status_code == 422
    assert [reason["loc"] for reason in response.json()["detail"]] == [["body", "email"]]


@pytest.mark.parametrize("password", ["q1w8e7r5", "x" * 128, " " * 8, MANY_SCRIPTS])
def test_valid_password_is_accepted(client: TestClient, password: str) -> None:
    response = client.post("/auth/register", json=ACCOUNT | {"password": password})

    assert response.status_code == 201


@pytest.mark.parametrize(
    "password", ["", "x" * 7, "x" * 129, "x" * 5_000, "horse staple\n", 12345678, None]
)
def test_invalid_password_is_refused(client: TestClient, password: object) -> None:
    response = client.post("/auth/register", json=ACCOUNT | {"password": password})

    assert response.status_code == 422
    assert [reason["loc"] for reason in response.json()["detail"]] == [["body", "password"]]


@pytest.mark.parametrize("password", ["", "x" * 129, "horse staple\n"])
def test_invalid_current_password_is_refused(user_client: TestClient, password: str) -> None:
    change = {"current_password": password, "new_password": "horse staple"}

    response = user_client.put("/users/me/password", json=change)

    assert response.status_code == 422
    assert [reason["loc"] for reason in response.json()["detail"]] == [["body", "current_password"]]


@pytest.mark.parametrize("password", ["x" * 7, "x" * 129, "horse staple\n"])
def test_invalid_new_password_is_refused(user_client: TestClient, password: str) -> None:
    change = {"current_password": "x", "new_password": password}

    response = user_client.put("/users/me/password", json=change)

    assert response.status_code == 422
    assert [reason["loc"] for reason in response.json()["detail"]] == [["body", "new_password"]]


@pytest.mark.parametrize("title", ["x", "x" * 100, "中" * 100, MANY_SCRIPTS])
def test_valid_title_is_accepted(user_client: TestClient, title: str) -> None:
    response = user_client.post("/posts", json=POST | {"title": title})

    assert response.status_code == 201
    assert response.json()["title"] == title


@pytest.mark.parametrize(
    "title", ["", " \u00a0\u3000", "x" * 101, "x" + " " * 100, "Hello\n", 1, None]
)
def test_invalid_title_is_refused(user_client: TestClient, title: object) -> None:
    response = user_client.post("/posts", json=POST | {"title": title})

    assert response.status_code == 422
    assert [reason["loc"] for reason in response.json()["detail"]] == [["body", "title"]]


@pytest.mark.parametrize(
    "content", ["x", "x" * 50_000, "👍" * 50_000, "line\n\tline\r\nline", MANY_SCRIPTS]
)
def test_valid_content_is_accepted(user_client: TestClient, content: str) -> None:
    response = user_client.post("/posts", json=POST | {"content": content})

    assert response.status_code == 201
    assert response.json()["content"] == content


@pytest.mark.parametrize("content", ["", " \n\t ", "x" * 50_001, ["x"], None])
def test_invalid_content_is_refused(user_client: TestClient, content: object) -> None:
    response = user_client.post("/posts", json=POST | {"content": content})

    assert response.status_code == 422
    assert [reason["loc"] for reason in response.json()["detail"]] == [["body", "content"]]


@pytest.mark.parametrize("value", NOT_STRINGS)
def test_fields_of_an_account_must_be_strings(client: TestClient, value: object) -> None:
    account = json.dumps({"username": value, "email": value, "password": value})

    response = client.post("/auth/register", content=account, headers=JSON)

    assert response.status_code == 422
    fields = [reason["loc"][-1] for reason in response.json()["detail"]]
    assert fields == ["username", "email", "password"]


@pytest.mark.parametrize("value", NOT_STRINGS)
def test_fields_of_a_post_must_be_strings(user_client: TestClient, value: object) -> None:
    post = json.dumps({"title": value, "content": value})

    response = user_client.post("/posts", content=post, headers=JSON)

    assert response.status_code == 422
    assert [reason["loc"][-1] for reason in response.json()["detail"]] == ["title", "content"]


@pytest.mark.parametrize("character", CONTROLS + LINES_AND_TABS)
def test_account_cannot_have_control_characters(client: TestClient, character: str) -> None:
    account = {
        "username": f"ali{character}ce",
        "email": f"ali{character}ce@example.com",
        "password": f"horse{character}staple",
    }

    response = client.post("/auth/register", json=account)

    assert response.status_code == 422
    fields = [reason["loc"][-1] for reason in response.json()["detail"]]
    assert fields == ["username", "email", "password"]


@pytest.mark.parametrize("character", CONTROLS)
def test_post_cannot_have_control_characters(user_client: TestClient, character: str) -> None:
    post = {"title": f"Hel{character}lo", "content": f"My{character}post."}

    response = user_client.post("/posts", json=post)

    assert response.status_code == 422
    assert [reason["loc"][-1] for reason in response.json()["detail"]] == ["title", "content"]


@pytest.mark.parametrize("character", LINES_AND_TABS)
def test_only_the_content_of_a_post_can_have_lines_and_tabs(
    user_client: TestClient, character: str
) -> None:
    post = {"title": f"Hel{character}lo", "content": f"My{character}post."}

    response = user_client.post("/posts", json=post)

    assert response.status_code == 422
    assert [reason["loc"][-1] for reason in response.json()["detail"]] == ["title"]


@pytest.mark.parametrize("value", ["true", 1, 0, "", []])
def test_is_admin_must_be_true_or_false(
    admin_client: TestClient, user: User, value: object
) -> None:
    response = admin_client.patch(f"/admin/users/{user.id}", json={"is_admin": value})

    assert response.status_code == 422


@pytest.mark.parametrize("operation", JSON_OPERATIONS)
def test_unknown_fields_are_refused(operation: str, admin_client: TestClient, user: User) -> None:
    # The first three are also the names of arguments in SQLModel and Pydantic.
    unknown = ["cls", "self", "__pydantic_self__", "id", "user_id", "hashed_password", "", "\x00"]
    body = REQUESTS[operation]["json"] | dict.fromkeys(unknown, 1)

    response = send(admin_client, operation, user, PostFactory.create(), json=body)

    assert response.status_code == 422
    assert [reason["loc"] for reason in response.json()["detail"]] == [
        ["body", field] for field in unknown
    ]


def test_field_whose_name_is_a_lone_surrogate_is_refused(user_client: TestClient) -> None:
    response = user_client.patch("/users/me", content=r'{"\ud800": 1}', headers=JSON)

    assert response.status_code == 422


@pytest.mark.parametrize(
    ("operation", "nulls"),
    [
        ("PATCH /users/me", {"username": None, "email": None}),
        ("PATCH /posts/{post_id}", {"title": None, "content": None}),
        ("PATCH /admin/users/{user_id}", {"is_admin": None}),
    ],
)
def test_null_in_an_update_is_refused(
    operation: str, nulls: dict[str, None], admin_client: TestClient, user: User
) -> None:
    response = send(admin_client, operation, user, PostFactory.create(), json=nulls)

    assert response.status_code == 422
    assert {reason["loc"][-1] for reason in response.json()["detail"]} == nulls.keys()


@pytest.mark.parametrize(
    "operation", ["PATCH /users/me", "PATCH /posts/{post_id}", "PATCH /admin/users/{user_id}"]
)
def test_empty_update_changes_nothing(
    operation: str, admin_client: TestClient, admin: User, session: Session
) -> None:
    post = PostFactory.create(author=admin)

    response = send(admin_client, operation, admin, post, json={})

    assert response.status_code == 200
    assert session.exec(select(Post)).one() == post
    assert session.exec(select(User)).one() == admin


@pytest.mark.parametrize(
    "post_id",
    ["0", "-1", 2**63, "9" * 5_000, "1.5", "1e3", "0x1", "one", "null", "%00", "%FF", "%D9%A1"],
)
def test_invalid_id_of_a_post_is_refused(client: TestClient, post_id: object) -> None:
    response = client.get(f"/posts/{post_id}")

    assert response.status_code == 422
    assert [reason["loc"] for reason in response.json()["detail"]] == [["path", "post_id"]]


@pytest.mark.parametrize("user_id", ["0", 2**63])
def test_invalid_id_of_a_user_is_refused(admin_client: TestClient, user_id: object) -> None:
    response = admin_client.delete(f"/admin/users/{user_id}")

    assert response.status_code == 422
    assert [reason["loc"] for reason in response.json()["detail"]] == [["path", "user_id"]]


@pytest.mark.parametrize("path", [f"/posts/{2**63 - 1}", f"/admin/users/{2**63 - 1}"])
def test_greatest_id_is_accepted(path: str, admin_client: TestClient) -> None:
    response = admin_client.delete(path)

    assert response.status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        "/posts?limit=1",
        "/posts?limit=100",
        "/posts?after=0",
        f"/posts?after={2**63 - 1}",
        f"/posts?user_id={2**63 - 1}",
        "/admin/users?limit=100&after=0",
    ],
)
def test_valid_page_is_accepted(url: str, admin_client: TestClient) -> None:
    response = admin_client.get(url)

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("path", "parameter", "value"),
    [
        ("/posts", "limit", "0"),
        ("/posts", "limit", "-1"),
        ("/posts", "limit", "101"),
        ("/posts", "limit", "1.5"),
        ("/posts", "limit", "NaN"),
        ("/posts", "limit", "9" * 5_000),
        ("/posts", "limit", ""),
        ("/posts", "limit", "%00"),
        ("/posts", "after", "-1"),
        ("/posts", "after", 2**63),
        ("/posts", "after", "last"),
        ("/posts", "after", "%FF"),
        ("/posts", "user_id", "0"),
        ("/posts", "user_id", 2**63),
        ("/posts", "user_id", "me"),
        ("/posts", "order", ""),
        ("/posts", "order", "random"),
        ("/posts", "order", "OLDEST"),
        ("/admin/users", "limit", "0"),
        ("/admin/users", "after", "-1"),
    ],
)
def test_invalid_page_is_refused(
    path: str, parameter: str, value: object, admin_client: TestClient
) -> None:
    response = admin_client.get(f"{path}?{parameter}={value}")

    assert response.status_code == 422
    assert [reason["loc"] for reason in response.json()["detail"]] == [["query", parameter]]


def test_refusal_says_where_and_why(user_client: TestClient) -> None:
    response = user_client.post("/posts", json={"title": ""})

    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/json"
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


@pytest.mark.parametrize(
    ("method", "url", "request_body"),
    [
        ("POST", "/auth/register", {"json": ACCOUNT | {"password": "secret", "more": "secret"}}),
        ("POST", "/auth/token", {"data": {"username": "secret!", "password": "secret" * 100}}),
        (
            "PUT",
            "/users/me/password",
            {"json": {"current_password": "secret\0", "new_password": "secret"}},
        ),
        ("PUT", "/users/me/password", {"json": "secret"}),
        ("PATCH", "/users/me", {"json": {"username": "secret!", "email": "secret"}}),
        ("POST", "/posts", {"content": '{"secret', "headers": JSON}),
        ("GET", "/posts?limit=secret&order=secret", {}),
        ("GET", "/posts/secret", {}),
    ],
)
def test_refusal_never_repeats_what_was_sent(
    method: str, url: str, request_body: dict[str, Any], user_client: TestClient
) -> None:
    response = user_client.request(method, url, **request_body)

    assert response.status_code == 422
    assert "secret" not in response.text


def test_refusal_gives_at_most_a_hundred_reasons(user_client: TestClient) -> None:
    fields = {f"field{n}": n for n in range(101)}

    response = user_client.post("/posts", json=fields)

    assert response.status_code == 422
    assert len(response.json()["detail"]) == 100
