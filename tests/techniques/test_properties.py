"""What is true for every input, tried with inputs that Hypothesis invents.

They are the same in each run. `uv run pytest --hypothesis-profile=explore tests/techniques` invents
others, and more of them.
"""

import json
import re
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from app.models import User
from app.security import is_weak
from tests.factories import UserFactory
from tests.operations import JSON_OPERATIONS, OPERATIONS, SCHEMAS, make_rows, send

characters = st.characters(exclude_categories=["Cc", "Cs"])
numbers = st.integers(-(10**400), 10**400) | st.floats()
# Any JSON, and what Python's `json` writes beyond it: NaN, Infinity and lone surrogates.
any_json = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=[])),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=5,
)
field_names = sorted({name for schema in SCHEMAS.values() for name in schema.get("properties", {})})
any_object = st.dictionaries(st.sampled_from(field_names), any_json, min_size=1)
operations_with_a_body = st.sampled_from([*JSON_OPERATIONS, "POST /auth/token"])
media_types = st.sampled_from(
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=part"]
)
# Such as "/admin/users/{user_id}" and "/admin/users?limit={}".
urls_to_fill = [operation.split()[1] for operation in OPERATIONS if "{" in operation] + [
    f"{name.split()[1]}?{parameter['name']}={{}}"
    for name, operation in OPERATIONS.items()
    for parameter in operation.get("parameters", [])
    if parameter["in"] == "query"
]


@given(
    password=st.text(characters, min_size=8, max_size=128).filter(
        lambda password: not is_weak(password, "")
    )
)
def test_user_can_log_in_with_any_password(password: str, client: TestClient) -> None:
    user = UserFactory.build()
    user_in = {"username": user.username, "email": user.email, "password": password}
    client.post("/auth/register", json=user_in)

    response = client.post("/auth/token", data={"username": user.username, "password": password})

    assert response.status_code == 200


@pytest.fixture
def ids(admin: User) -> dict[str, int]:
    """Make a row for each parameter that a path can have."""
    ids: dict[str, int] = {}
    for operation in JSON_OPERATIONS:
        ids |= make_rows(operation, owner=admin)
    return ids


@given(operation=operations_with_a_body, body=any_json | any_object)
def test_no_json_causes_a_server_error(
    operation: str, body: object, ids: dict[str, int], admin_client: TestClient
) -> None:
    headers = {"Content-Type": "application/json"}

    response = send(admin_client, operation, ids, content=json.dumps(body), headers=headers)

    assert response.status_code < 500


@given(operation=operations_with_a_body, body=st.binary(), media_type=media_types)
def test_no_bytes_cause_a_server_error(
    operation: str, body: bytes, media_type: str, ids: dict[str, int], admin_client: TestClient
) -> None:
    headers = {"Content-Type": media_type}

    response = send(admin_client, operation, ids, content=body, headers=headers)

    assert response.status_code < 500


@given(
    url=st.sampled_from(urls_to_fill),
    value=st.binary(max_size=20) | st.integers(0, 2**65).map(lambda number: b"%d" % number),
)
def test_no_url_causes_a_server_error(url: str, value: bytes, admin_client: TestClient) -> None:
    response = admin_client.get(re.sub(r"{\w*}", quote(value), url))

    assert response.status_code < 500
