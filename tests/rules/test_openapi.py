"""Whether `openapi.json` says what the app does. DocumentedClient checks each response, too."""

import json
import re
from difflib import unified_diff
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine
from sqlmodel import Session

from app import models
from app.database import get_session
from app.main import app
from app.models import User
from tests.client import check_documented
from tests.operations import OPERATIONS, make_rows, send
from tests.tools.openapi import SNAPSHOT, write_document

README = Path(__file__).parents[2] / "README.md"


def operations_that_document(status: int, detail: str) -> list[str]:
    """List the operations that have this error among their responses."""
    return [
        name
        for name, operation in OPERATIONS.items()
        if detail in json.dumps(operation["responses"].get(str(status)))
    ]


def response_models() -> list[str]:
    """List the models of all responses except errors."""
    responses = [
        response
        for operation in OPERATIONS.values()
        for status, response in operation["responses"].items()
        if status < "400"
    ]
    return sorted(set(re.findall(r"#/components/schemas/(\w+)", json.dumps(responses))))


def suggest_row(operation: str) -> str:
    summary = OPERATIONS[operation]["summary"]
    if operation in operations_that_document(403, "Admin access required"):
        audience = "admins"
    elif "401" in OPERATIONS[operation]["responses"]:
        audience = "logged-in users"
    else:
        audience = "everyone"
    return f"| `{operation}` | {summary} | {audience} |"


def paths_and_schemas(text: str) -> dict[str, Any]:
    document = json.loads(text)
    return {**document["paths"], **document["components"]["schemas"]}


def test_document_is_the_same_as_the_snapshot() -> None:
    snapshot, document = SNAPSHOT.read_text(encoding="utf-8"), write_document()

    # All that differs, down to the line breaks.
    changes = list(unified_diff(snapshot.splitlines(True), document.splitlines(True), n=5))
    old, new = paths_and_schemas(snapshot), paths_and_schemas(document)
    changed = [name for name in old | new if old.get(name) != new.get(name)]
    assert not changes, (
        f"It differs in {', '.join(changed) or 'other things'}."
        f" If you meant it: uv run python -m tests.tools.openapi\n{''.join(changes[:50])}"
    )


def test_readme_names_every_operation() -> None:
    _, _, section = README.read_text(encoding="utf-8").partition("\n## The API at a glance\n")
    table, _, _ = section.partition("\n## ")
    # Such as "GET /posts", or "PATCH DELETE /posts/{post_id}".
    rows = re.findall(r"((?:[A-Z]+ )+)(/[^\s,|]*)", table.replace("`", ""))
    named = {f"{method} {path}" for methods, path in rows for method in methods.split()}

    missing = [suggest_row(name) for name in OPERATIONS if name not in named]
    gone = named - OPERATIONS.keys()
    assert not missing, "Add to the table in README.md:\n" + "\n".join(missing)
    assert not gone, f"Remove from the table in README.md: {gone}"


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_each_operation_is_described(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"].endswith("."), "Add a docstring that ends with a full stop."
    assert len(operation["tags"]) == 1, "Add `tags=[...]` to its router."


@pytest.mark.parametrize("name", response_models())
def test_example_of_a_response_is_a_whole_response(name: str) -> None:
    model = getattr(models, name)
    example = model.model_json_schema().get("example")

    assert example, f"Add an example to {name} in app/models.py: model_config = example(...)"
    assert model.model_validate(example).model_dump(mode="json") == example


@pytest.mark.parametrize(
    "operation",
    [
        name
        for name in operations_that_document(401, "Could not validate credentials")
        if not name.startswith("GET ")
    ],
)
def test_change_documents_that_it_may_conflict_with_another(operation: str) -> None:
    conflicts = operations_that_document(409, "Conflicts with the current data")

    assert operation in conflicts, (
        "Add `Conflict` to its `document(...)`, as its rows may be deleted at the same moment."
    )


@pytest.mark.parametrize("operation", operations_that_document(503, "Database unavailable"))
def test_503_is_documented_only_where_it_happens(
    operation: str, user_client: TestClient, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = make_rows(operation, owner=user)
    nowhere = create_engine("sqlite:////nowhere/nothing.db")
    monkeypatch.setitem(app.dependency_overrides, get_session, lambda: Session(nowhere))

    response = send(user_client, operation, ids)

    assert response.status_code == 503, (
        "If it doesn't use the database, include its router in app/main.py without"
        " document(errors.DatabaseUnavailable)"
    )


def test_client_notices_what_is_not_documented(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = client.get("/users/me")

    response.headers["Link"] = "</>"
    with pytest.raises(AssertionError, match="GET /users/me: 401 has a Link"):
        check_documented(response)
    del response.headers["Link"]

    monkeypatch.setattr(response, "json", lambda: {"detail": "Go away"})
    with pytest.raises(AssertionError, match="GET /users/me: 401 "):
        check_documented(response)

    response.status_code = 418
    with pytest.raises(AssertionError, match="GET /users/me: 418 isn't"):
        check_documented(response)
