"""Which values the API accepts and which it refuses, at every bound and beyond."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlmodel import Session, SQLModel

from app.models import User
from tests.operations import (
    JSON_OPERATIONS,
    LISTS,
    OPERATIONS,
    example_of,
    find_schema,
    make_rows,
    send,
)

JSON = {"Content-Type": "application/json"}
MANY_SCRIPTS = "Ελληνικά 中文 עברית हिन्दी 👩🏽‍💻"
NOT_TEXT = [None, float("nan"), "before\ud800after"]

# Each value is tried in every operation that has a field or a parameter of this name.
VALID: dict[str, list[Any]] = {
    "username": ["a", "a" * 50, "A.b_c-9"],
    "email": [
        "alice.smith@example.com",
        "alice+news@example.com",
        "alice@my-shop.com",
        "alice@bücher.example.com",
        f"{'a' * 64}@{'b' * 43}.example.com",
        f"{'İ' * 54}@example.com",  # In lower case, each İ becomes two characters.
    ],
    "password": ["q1w8e7r5", "x" * 128, " " * 8, MANY_SCRIPTS],
    "current_password": ["x", "x" * 128],
    "new_password": ["q1w8e7r5", "x" * 128, " " * 8, MANY_SCRIPTS],
    "title": ["x", "x" * 100, "中" * 100, MANY_SCRIPTS],
    "content": ["x", "x" * 50_000, "👍" * 50_000, "line\n\tline\r\nline", MANY_SCRIPTS],
    "is_admin": [True, False],
    "limit": [1, 100],
    "after": [0, 2**53 - 1],
    "user_id": [1, 2**63 - 1],
    "order": ["oldest", "newest"],
}
INVALID: dict[str, list[Any]] = {
    "username": [*NOT_TEXT, "", "a" * 51, "a b", " alice", "alice\n", "älice", "a@b"],
    "email": [
        *NOT_TEXT,
        "",
        "alice",
        "alice@",
        "alice@localhost",
        "alice@example.com\n",
        "alice@example.com, bob@example.com",
        f"{'a' * 64}@{'b' * 44}.example.com",
        f"alice@{'b' * 64}.com",
        f"{'İ' * 108}@example.com",
    ],
    "password": [*NOT_TEXT, "", "x" * 7, "x" * 129, "horse staple\n"],
    "current_password": [*NOT_TEXT, "", "x" * 129, "horse staple\n"],
    "new_password": [*NOT_TEXT, "", "x" * 7, "x" * 129, "horse staple\n"],
    "title": [*NOT_TEXT, "", " \u00a0\u3000", "x" * 101, "x" + " " * 100, "Hello\n"],
    "content": [*NOT_TEXT, "", " \n\t ", "x" * 50_001],
    "is_admin": [None, "true", "", 1, 0, []],
    "limit": [0, -1, 101, 1.5, "NaN", "9" * 5_000, "", "\0"],
    "after": [-1, 2**53, 2**63, "last"],
    "user_id": [0, 2**63, "me"],
    "post_id": [0, 2**63, -1, 1.5, "1e3", "0x1", "one", "%00", "%FF", "%D9%A1", "9" * 5_000],
    "order": ["", "random", "OLDEST"],
}
# The first and the last of each range of control characters, but for lines and tabs.
CONTROLS = "\x00\x08\x0b\x0c\x0e\x1f\x7f\x9f"
LINES_AND_TABS = "\t\n\r"
TEXTS = {
    "username": ["ali{}ce"],
    "email": ["ali{}ce@example.com"],
    "password": ["horse{}staple"],
    "current_password": ["horse{}staple"],
    "new_password": ["horse{}staple"],
    "title": ["Hel{}lo"],
    "content": ["My first{}post."],
}


def fields_of(operation: str) -> list[str]:
    _, schema = find_schema(operation) or ("", {"properties": {}})
    return list(schema["properties"])


def parameters_of(operation: str, where: str) -> list[str]:
    parameters = OPERATIONS[operation].get("parameters", [])
    return [parameter["name"] for parameter in parameters if parameter["in"] == where]


FIELDS = {operation: fields_of(operation) for operation in JSON_OPERATIONS}
QUERIES = {operation: parameters_of(operation, "query") for operation in LISTS}
IDS = {name: parameters_of(name, "path") for name in OPERATIONS if "{" in name}


def cases(names: dict[str, list[str]], table: dict[str, list[Any]]) -> list[tuple[str, str, Any]]:
    return [
        (operation, name, value)
        for operation in names
        for name in names[operation]
        for value in table.get(name, [])
    ]


def shorten(value: object) -> str:
    """Return the id of a test."""
    text = str(value)
    return text if len(text) < 45 else f"{text[:20]}... {len(text)} characters"


@pytest.fixture
def ids(operation: str, user: User, admin: User) -> dict[str, int]:
    """Make the rows that the operation of the test needs."""
    return make_rows(operation, owner=user, actor=admin)


def send_field(
    client: TestClient, operation: str, ids: dict[str, int], field: str, value: object
) -> Response:
    """Send the example of an operation with another value of one field."""
    body = example_of(operation)["json"] | {field: value}
    # The argument `json` of the client refuses NaN and lone surrogates.
    return send(client, operation, ids, content=json.dumps(body), headers=JSON)


def places(response: Response) -> list[list[str]]:
    """Return where the values are that were refused."""
    return [reason["loc"] for reason in response.json()["detail"]]


@pytest.mark.parametrize(("operation", "field", "value"), cases(FIELDS, VALID), ids=shorten)
def test_valid_value_is_accepted(
    operation: str, field: str, value: object, admin_client: TestClient, ids: dict[str, int]
) -> None:
    response = send_field(admin_client, operation, ids, field, value)

    # Another password than the current one is valid, but 403.
    assert response.is_success or response.status_code == 403, response.text


@pytest.mark.parametrize(("operation", "field", "value"), cases(FIELDS, INVALID), ids=shorten)
def test_invalid_value_is_refused(
    operation: str, field: str, value: object, admin_client: TestClient, ids: dict[str, int]
) -> None:
    response = send_field(admin_client, operation, ids, field, value)

    assert response.status_code == 422
    assert places(response) == [["body", field]]


@pytest.mark.parametrize(("operation", "field", "text"), cases(FIELDS, TEXTS))
def test_control_characters_are_refused(
    operation: str, field: str, text: str, admin_client: TestClient, ids: dict[str, int]
) -> None:
    for character in CONTROLS if field == "content" else CONTROLS + LINES_AND_TABS:
        response = send_field(admin_client, operation, ids, field, text.format(character))

        assert response.status_code == 422, ascii(character)
        assert places(response) == [["body", field]], ascii(character)


@pytest.mark.parametrize("operation", ["POST /auth/register", "PATCH /users/me"])
@pytest.mark.parametrize(
    ("email", "stored"),
    [
        ("Alice@Example.COM", "alice@example.com"),
        ("Alice <alice@example.com>", "alice@example.com"),
        (" alice@example.com", "alice@example.com"),
        ("\u212aate@example.com", "kate@example.com"),  # The sign of Kelvin.
    ],
)
def test_only_the_address_is_stored_in_lower_case(
    operation: str,
    email: str,
    stored: str,
    admin_client: TestClient,
    ids: dict[str, int],
    session: Session,
) -> None:
    response = send_field(admin_client, operation, ids, "email", email)

    assert response.is_success
    assert response.json()["email"] == stored
    assert session.get_one(User, response.json()["id"]).email == stored


@pytest.mark.parametrize("operation", JSON_OPERATIONS)
def test_unknown_fields_are_refused(
    operation: str, admin_client: TestClient, ids: dict[str, int]
) -> None:
    # The first three are also the names of arguments in SQLModel and Pydantic.
    unknown = ["cls", "self", "__pydantic_self__", "id", "user_id", "hashed_password", "", "\0"]
    body = example_of(operation)["json"] | dict.fromkeys(unknown, 1)

    response = send(admin_client, operation, ids, json=body)

    assert response.status_code == 422
    assert places(response) == [["body", field] for field in unknown]


@pytest.mark.parametrize("operation", [name for name in JSON_OPERATIONS if "PATCH" in name])
def test_empty_update_changes_nothing(
    operation: str, admin_client: TestClient, ids: dict[str, int], session: Session
) -> None:
    tables = SQLModel.metadata.sorted_tables
    before = [session.connection().execute(table.select()).all() for table in tables]

    response = send(admin_client, operation, ids, json={})

    assert response.status_code == 200
    assert [session.connection().execute(table.select()).all() for table in tables] == before


@pytest.mark.parametrize(("operation", "name", "value"), cases(IDS, INVALID), ids=shorten)
def test_invalid_id_is_refused(
    operation: str, name: str, value: object, admin_client: TestClient, ids: dict[str, Any]
) -> None:
    response = send(admin_client, operation, ids | {name: value})

    assert response.status_code == 422
    assert places(response) == [["path", name]]


@pytest.mark.parametrize("operation", IDS)
def test_greatest_id_is_accepted(operation: str, admin_client: TestClient) -> None:
    response = send(admin_client, operation, dict.fromkeys(IDS[operation], 2**63 - 1))

    assert response.status_code == 404


@pytest.mark.parametrize(("operation", "name", "value"), cases(QUERIES, VALID), ids=shorten)
def test_valid_query_is_accepted(
    operation: str, name: str, value: object, admin_client: TestClient, ids: dict[str, int]
) -> None:
    response = send(admin_client, operation, ids, params={name: value})

    assert response.status_code == 200


@pytest.mark.parametrize(("operation", "name", "value"), cases(QUERIES, INVALID), ids=shorten)
def test_invalid_query_is_refused(
    operation: str, name: str, value: object, admin_client: TestClient, ids: dict[str, int]
) -> None:
    response = send(admin_client, operation, ids, params={name: value})

    assert response.status_code == 422
    assert places(response) == [["query", name]]


def test_refusal_says_where_and_why_and_does_not_repeat_an_address(user_client: TestClient) -> None:
    change = {"username": "", "email": "alice@secret≠.com"}

    response = user_client.patch("/users/me", json=change)

    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {
        "detail": [
            {
                "type": "string_too_short",
                "loc": ["body", "username"],
                "msg": "String should have at least 1 character",
            },
            {
                "type": "value_error",
                "loc": ["body", "email"],
                "msg": "value is not a valid email address",
            },
        ]
    }


@pytest.mark.parametrize(
    ("operation", "request_body"),
    [
        ("POST /auth/register", {"json": {"username": "secret!", "password": "secret"}}),
        ("POST /auth/token", {"data": {"username": "secret!", "password": "secret" * 100}}),
        ("PUT /users/me/password", {"json": {"current_password": "secret\0"}}),
        ("PUT /users/me/password", {"json": "secret"}),
        ("PATCH /users/me", {"content": '{"secret', "headers": JSON}),
        ("GET /admin/users", {"params": {"limit": "secret", "after": "secret"}}),
    ],
)
def test_refusal_never_repeats_what_was_sent(
    operation: str, request_body: dict[str, Any], admin_client: TestClient
) -> None:
    response = send(admin_client, operation, {}, **request_body)

    assert response.status_code == 422
    assert "secret" not in response.text


def test_refusal_gives_at_most_a_hundred_reasons(user_client: TestClient) -> None:
    fields = {f"field{n}": n for n in range(101)}

    response = user_client.patch("/users/me", json=fields)

    assert response.status_code == 422
    assert len(response.json()["detail"]) == 100
