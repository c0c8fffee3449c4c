"""Schemathesis sends what `openapi.json` allows and what it forbids, and checks the answers."""

from copy import deepcopy
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis.strategies import from_regex
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.python.asgi import ASGIClient
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    positive_data_acceptance,
    status_code_conformance,
)
from sqlalchemy import Engine

from app.main import app
from app.security import create_token
from tests.client import NOT_DOCUMENTED
from tests.databases import delete_all_rows
from tests.factories import UserFactory
from tests.operations import DOCUMENT, make_rows

# pyproject.toml turns the plugin off, as loading it takes longer than most files of tests.
pytest_plugins = "schemathesis.pytest.plugin"

EXISTING = 2**40  # In a generated path, it stands for the id of a row that exists.

document = deepcopy(DOCUMENT)
for schema in document["components"]["schemas"].values():
    for field in schema.get("properties", {}).values():
        # It takes too long to generate texts of such a length, and addresses that come near to it.
        # The limits have tests in rules/test_validation.py.
        if field.get("maxLength", 0) > 1_000 or field.get("format") == "email":
            del field["maxLength"]
schemathesis.openapi.format("email", from_regex(r"\A[a-z0-9]{1,20}@example\.com\Z"))
path_parameters = {
    f"path.{parameter['name']}": {"dictionary": "ids", "probability": 0.5}
    for methods in document["paths"].values()
    for operation in methods.values()
    for parameter in operation.get("parameters", [])
    if parameter["in"] == "path"
}
operations = schemathesis.openapi.from_dict(
    document,
    config=SchemathesisConfig.from_dict(
        {
            "generation": {"deterministic": True, "database": "none"},
            "dictionaries": {"ids": {"values": [EXISTING]}},
            "parameters": path_parameters,
        }
    ),
)
operations.app = app
# Its default client runs the lifespan of the app, which opens the configured database.
client = ASGIClient(app)  # type: ignore[arg-type]  # It wants a dict where ASGI has a mapping.


@operations.parametrize()
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_app_does_what_its_document_says(case: Case[Any], engine: Engine) -> None:
    # Start each request from the same rows, so that a failure can be repeated.
    delete_all_rows(engine)
    admin, _ = UserFactory.create_batch(2, admin=True)
    ids = make_rows(f"{case.method} {case.operation.path}", owner=admin)
    for name, value in case.path_parameters.items():
        if value == EXISTING:
            case.path_parameters[name] = ids[name]
    client.headers["Authorization"] = f"Bearer {create_token(admin.id, admin.token_version)}"

    response = case.call(session=client)

    # FastAPI's `Allow` names the methods of one route, and not all of the path.
    excluded_checks = [allow_header_conformance]
    if response.status_code in NOT_DOCUMENTED:
        excluded_checks.append(status_code_conformance)
    if "weak_password" in response.text:
        # No schema can list the common passwords, so it allows them.
        excluded_checks.append(positive_data_acceptance)
    # If yours takes `true` for a number, or a number for a date, refuse that, as StrictInt does.
    case.validate_response(response, excluded_checks=excluded_checks)
