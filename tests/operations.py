"""A valid request for each operation, made of the examples in `openapi.json`."""

from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response

from app.main import app
from app.models import User
from tests.factories import PostFactory, RowFactory, UserFactory

DOCUMENT = app.openapi()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
# By names such as "PATCH /posts/{post_id}".
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def make_rows(operation: str, owner: User) -> dict[str, int]:
    """Make the rows that an operation needs, and return the ids for its path.

    The rows belong to `owner`. If your operation needs other rows, make them here.
    """
    ids = {}
    if "{user_id}" in operation:
        other = UserFactory.create()
        ids["user_id"] = other.id
    if "{post_id}" in operation:
        post = PostFactory.create(author=owner)
        ids["post_id"] = post.id
    if operation == "POST /auth/token":
        UserFactory.create(username="alice")  # The user in the example.
    return ids


def make_list_rows(operation: str, ids: dict[str, int], owner: User) -> None:
    """Make 20 rows for a list that `owner` will read. If it only shows some, make those here."""
    for factory in RowFactory.__subclasses__():
        factory.create_batch(20)


def find_schema(operation: str) -> tuple[str, dict[str, Any]] | None:
    """Return the media type and the schema of the body of an operation, if it has one."""
    if "requestBody" not in OPERATIONS[operation]:
        return None
    ((media_type, body),) = OPERATIONS[operation]["requestBody"]["content"].items()
    return media_type, SCHEMAS[body["schema"]["$ref"].rpartition("/")[2]]


def example_of(operation: str) -> dict[str, Any]:
    """Return the example of a body as an argument of `client.request`, or no argument."""
    found = find_schema(operation)
    if found is None:
        return {}
    media_type, schema = found
    if media_type == "multipart/form-data":
        return {"files": dict.fromkeys(schema["properties"], b"Some content.")}
    assert "example" in schema, (
        f"Add an example to {schema['title']} in app/models.py: model_config = example(...)"
    )
    return {"json" if media_type == "application/json" else "data": schema["example"]}


# Those that have a JSON body, and those that return a page of a list.
JSON_OPERATIONS = [operation for operation in OPERATIONS if "json" in example_of(operation)]
LISTS = [
    name
    for name, operation in OPERATIONS.items()
    if "limit" in [parameter["name"] for parameter in operation.get("parameters", [])]
]


def send(client: TestClient, operation: str, ids: dict[str, int], **request: Any) -> Response:
    """Send the example of an operation, or another body."""
    assert operation in OPERATIONS, (
        f"{operation} isn't in the API. Include its router in app/main.py"
    )
    method, path = operation.split()
    try:
        path = path.format(**ids)
    except KeyError as error:
        raise AssertionError(f"Make a row for {error} in make_rows in {__file__}") from error
    return client.request(method, path, **(request or example_of(operation)))
