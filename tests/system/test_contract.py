"""Schemathesis sends what `openapi.json` allows and what it forbids, and checks the answers."""

from copy import deepcopy
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis.strategies import from_regex
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.python.asgi import ASGIClient
from schemathesis.specs.openapi.checks import positive_data_acceptance
from sqlalchemy import Engine
from sqlmodel import delete

from app.main import app
from app.models import User
from app.security import create_token
from tests.factories import PostFactory, UserFactory, factory_session

# pyproject.toml turns the plugin off, as loading it takes longer than most files of tests.
pytest_plugins = "schemathesis.pytest.plugin"

# The id of a post and of its author, far above those that the database hands out.
ID = 2**40
ADMIN_ID = ID + 1

document = deepcopy(app.openapi())
for schema in ("PostCreate", "PostUpdate"):
    # To generate 50,000 characters takes 10 seconds. test_validation.py has a test of this limit.
    del document["components"]["schemas"][schema]["properties"]["content"]["maxLength"]
for schema in ("UserCreate", "UserUpdate"):
    # It takes half a minute to generate addresses from the pattern, and seconds to find out that
    # the format, which replaces it, makes none as long as the limit. test_validation.py tests both.
    email = document["components"]["schemas"][schema]["properties"]["email"]
    del email["pattern"], email["maxLength"]
schemathesis.openapi.format("email", from_regex(r"\A[a-z0-9]{1,20}@example\.com\Z"))
operations = schemathesis.openapi.from_dict(
    document,
    config=SchemathesisConfig.from_dict(
        {
            "generation": {"deterministic": True, "max-examples": 5, "database": "none"},
            # Half of the ids are those of rows that exist.
            "dictionaries": {"ids": {"values": [ID]}},
            "parameters": {
                "path.post_id": {"dictionary": "ids", "probability": 0.5},
                "path.user_id": {"dictionary": "ids", "probability": 0.5},
            },
        }
    ),
)
operations.app = app
# Its default client runs the lifespan of the app, which opens the configured database.
client = ASGIClient(app)  # type: ignore[arg-type]  # It wants a dict where ASGI has a mapping.


def reset_rows() -> None:
    """Start each request from the same rows, so that a failure can be repeated."""
    factory_session.execute(delete(User))  # Their posts go with them.
    author = UserFactory.build(id=ID, username="alice", admin=True)
    factory_session.add_all([author, UserFactory.build(id=ADMIN_ID, admin=True, token_version=0)])
    factory_session.flush()
    factory_session.add(PostFactory.build(id=ID, author=author))
    factory_session.commit()


@operations.parametrize()
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_app_does_what_its_document_says(case: Case[Any], engine: Engine) -> None:
    reset_rows()
    client.headers["Authorization"] = f"Bearer {create_token(ADMIN_ID, version=0)}"

    response = case.call(session=client)

    # No schema can list the common passwords, so these are refused although the schema allows them.
    weak_password = "weak_password" in response.text
    case.validate_response(
        response, excluded_checks=[positive_data_acceptance] if weak_password else []
    )
