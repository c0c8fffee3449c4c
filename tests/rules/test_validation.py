"""Which values the API accepts and which it refuses, at every bound and beyond."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlmodel import Session

from app.models import User
from tests.databases import read_rows
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
# The first and the last of each range of control characters, except for line breaks and tabs.
CONTROLS = [f"horse{control}staple" for control in "\x00\x08\x0b\x0c\x0e\x1f\x7f\x9f"]
NOT_TEXT = [None, float("nan"), "before\ud800after", *CONTROLS]
NOT_A_LINE = [*NOT_TEXT, "", "horse\tstaple", "horse\rstaple", "horse\nstaple", "horse staple\n"]

# The first three are also the names of arguments in SQLModel and Pydantic.
UNKNOWN = ["cls", "self", "__pydantic_self__", "id", "hashed_password", "", "\0"]

# Each value is tried in every operation that has a field or a parameter of this name.
VALID: dict[str, list[Any]] = {
    "username": ["a", "a" * 50, "A.b_c-9"],
    "email": [
        "alice.smith+news@my-shop.example.com",
        "alice@bücher.example.com",
        f"{'a' * 64}@{'b' * 43}.example.com",
        f"{'İ' * 54}@example.com",  # In lower case, each İ becomes two characters.
    ],
    "password": ["q1w8e7r5", "x" * 128, " " * 8, MANY_SCRIPTS],
    "current_password": ["x", "x" * 128],
    "new_password": ["q1w8e7r5", "x" * 128, " " * 8, MANY_SCRIPTS],
    "title": ["x", "中" * 100, MANY_SCRIPTS],
    "content": ["x", "👍" * 50_000, "line\n\tline\r\nline", MANY_SCRIPTS],
    "is_admin": [True, False],
    "limit": [1, 100],
    "after": [0, 2**63 - 1],
    "user_id": [1, 2**63 - 1],
    "order": ["oldest", "newest"],
}
INVALID: dict[str, list[Any]] = {
    "username": [*NOT_A_LINE, "a" * 51, "a b", " alice", "alice\n", "älice", "a@b"],
    "email": [
        *NOT_A_LINE,
        "ali\x00ce@example.com",
        "alice@localhost",
        "alice@example.com\n",
        "alice@example.com, bob@example.com",
        f"{'a' * 64}@{'b' * 44}.example.com",
        f"{'İ' * 108}@example.com",
    ],
    "password": [*NOT_A_LINE, "x" * 7, "x" * 129],
    "current_password": [*NOT_A_LINE, "x" * 129],
    "new_password": [*NOT_A_LINE, "x" * 7, "x" * 129],
    "title": [*NOT_A_LINE, " \u00a0\u3000", "x" * 101, "x" + " " * 100],
    "content": [*NOT_TEXT, "", " \n\t ", "x" * 50_001],
    "is_admin": [None, "true", 1, 0],
    "limit": [0, 101, 1.5, "9" * 5_000, ""],
    "after": [-1, 2**63, "last"],
    "user_id": [0, 2**63, "me"],
    "post_id": [0, 2**63, 1.5, "1e3", "one", "%00", "%FF", "%D9%A1", "9" * 5_000],
    "order": ["", "random", "OLDEST"],
}


def fields_of(operation: str) -> list[str]:
    _, schema = find_schema(operation) or ("", {"properties": {}})
    return list(schema["properties"])


def parameters(where: str) -> list[tuple[str, str]]:
    """List the parameters of all operations, each with its operation."""
    return [
        (name, parameter["name"])
        for name, operation in OPERATIONS.items()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == where
    ]


FIELDS = [(operation, field) for operation in JSON_OPERATIONS for field in fields_of(operation)]


def shorten(value: object) -> str:
    """Describe a value in a message, or in the id of a test."""
    text = str(value)
    return ascii(text) if len(text) < 45 else f"{text[:20]}... {len(text)} characters"


@pytest.fixture
def ids(operation: str, admin: User) -> dict[str, int]:
    """Make the rows that the operation of the test needs. They belong to the admin who sends it."""
    return make_rows(operation, owner=admin)


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


@pytest.mark.parametrize(
    ("operation", "field", "value"),
    [(operation, field, value) for operation, field in FIELDS for value in VALID.get(field, [])],
    ids=shorten,
)
def test_valid_value_is_accepted(
    operation: str, field: str, value: object, admin_client: TestClient, ids: dict[str, int]
) -> None:
    response = send_field(admin_client, operation, ids, field, value)

    # Another password than the current one is valid, but 403.
    assert response.is_success or response.status_code == 403, (
        f"{response.text} If this is how it should be, correct VALID in {__file__}."
    )


@pytest.mark.parametrize(("operation", "field"), FIELDS)
def test_invalid_values_are_refused(
    operation: str, field: str, admin_client: TestClient, ids: dict[str, int]
) -> None:
    for value in INVALID.get(field, []):
        response = send_field(admin_client, operation, ids, field, value)

        assert response.status_code == 422, shorten(value)
        assert places(response) == [["body", field]], shorten(value)


@pytest.mark.parametrize(("operation", "field"), FIELDS)
def test_texts_have_a_limit_and_a_pattern(operation: str, field: str) -> None:
    """Without a pattern, a text may have a NUL, which PostgreSQL can't store: that is a 500."""
    _, schema = find_schema(operation) or ("", {})
    rules = schema["properties"][field]
    # A field that can also be null has its rules a level deeper.
    texts = [each for each in rules.get("anyOf", [rules]) if each.get("type") == "string"]

    for text in texts:
        is_limited = {"maxLength", "pattern"} <= text.keys()
        assert is_limited or text.keys() & {"const", "enum", "format"}, (
            f"Limit {field} in app/models.py: Annotated[str, text_rules(1, 100, f'^{{LINE}}$')]"
        )


@pytest.mark.parametrize(("operation", "parameter"), parameters("path"))
def test_invalid_ids_are_refused_and_the_greatest_is_not_found(
    operation: str, parameter: str, admin_client: TestClient, ids: dict[str, Any]
) -> None:
    for value in INVALID.get(parameter, []):
        response = send(admin_client, operation, ids | {parameter: value})

        assert response.status_code == 422, shorten(value)
        assert places(response) == [["path", parameter]], shorten(value)

    response = send(admin_client, operation, ids | {parameter: 2**63 - 1})
    assert response.status_code == 404


@pytest.mark.parametrize(("operation", "parameter"), parameters("query"))
def test_valid_queries_are_accepted_and_invalid_ones_refused(
    operation: str, parameter: str, admin_client: TestClient, ids: dict[str, int]
) -> None:
    for value in VALID.get(parameter, []):
        response = send(admin_client, operation, ids, params={parameter: value})

        assert response.status_code == 200, shorten(value)

    for value in INVALID.get(parameter, []):
        response = send(admin_client, operation, ids, params={parameter: value})

        assert response.status_code == 422, shorten(value)
        assert places(response) == [["query", parameter]], shorten(value)


def test_only_the_address_is_stored_in_lower_case(
    user_client: TestClient, user: User, session: Session
) -> None:
    # The address begins with the sign of Kelvin.
    response = user_client.patch("/users/me", json={"email": " Kate <\u212aATEß@Example.com>"})

    assert response.status_code == 200
    assert session.get_one(User, user.id).email == "kateß@example.com"


@pytest.mark.parametrize("operation", JSON_OPERATIONS)
def test_unknown_fields_are_refused(
    operation: str, admin_client: TestClient, ids: dict[str, int]
) -> None:
    body = example_of(operation)["json"] | dict.fromkeys(UNKNOWN, 1)

    response = send(admin_client, operation, ids, json=body)

    assert response.status_code == 422
    assert places(response) == [["body", field] for field in UNKNOWN]


@pytest.mark.parametrize("operation", LISTS)
def test_unknown_parameters_are_refused(
    operation: str, admin_client: TestClient, ids: dict[str, int]
) -> None:
    response = send(admin_client, operation, ids, params=dict.fromkeys(UNKNOWN, 1))

    assert response.status_code == 422
    assert places(response) == [["query", parameter] for parameter in UNKNOWN]


@pytest.mark.parametrize("operation", [name for name in JSON_OPERATIONS if "PATCH" in name])
def test_empty_update_changes_nothing(
    operation: str, admin_client: TestClient, ids: dict[str, int], session: Session
) -> None:
    before = read_rows(session)

    response = send(admin_client, operation, ids, json={})

    assert response.status_code == 200
    assert read_rows(session) == before


@pytest.mark.parametrize(
    ("operation", "request_body"),
    [
        ("POST /auth/register", {"json": {"username": "secret!", "password": "secret"}}),
        ("POST /auth/token", {"data": {"username": "secret!", "password": "secret" * 100}}),
        ("PATCH /users/me", {"json": "secret"}),
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


def test_refusal_says_where_and_why_but_not_which_address(user_client: TestClient) -> None:
    response = user_client.patch("/users/me", json={"email": "alice@secret≠.com"})

    assert response.status_code == 422
    (reason,) = response.json()["detail"]
    assert reason == {
        "type": "value_error",
        "loc": ["body", "email"],
        "msg": "value is not a valid email address",
    }


def test_refusal_gives_at_most_a_hundred_reasons(user_client: TestClient) -> None:
    fields = {f"field{n}": n for n in range(101)}

    response = user_client.patch("/users/me", json=fields)

    assert response.status_code == 422
    assert len(response.json()["detail"]) == 100
