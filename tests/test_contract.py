"""The app against its own OpenAPI: schemathesis sends what the document allows, and what it forbids."""

from copy import deepcopy
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis.strategies import from_regex
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.python.asgi import ASGIClient
from sqlalchemy import Engine
from sqlmodel import delete

from app.main import app
from app.models import Post, User
from app.security import create_token
from tests.factories import PostFactory, UserFactory, factory_session

# The id of a post and of a user that exist, far from those that the database gives by itself.
ID = 2**40
ADMIN_ID = ID + 1

# Of the addresses that its own generator makes up, some end in names that are reserved.
schemathesis.openapi.format("email", from_regex(r"\A[a-z0-9]{1,20}@example\.com\Z"))
document = deepcopy(app.openapi())
for schema in ("PostCreate", "PostUpdate"):
    # A bound of 50,000 characters costs the generator 10 seconds; another test goes to this bound.
    del document["components"]["schemas"][schema]["properties"]["content"]["maxLength"]
operations = schemathesis.openapi.from_dict(
    document,
    config=SchemathesisConfig.from_dict(
        {
            "generation": {"deterministic": True, "max-examples": 50, "database": "none"},
            # Examples made by rule would take as long again; the tests of validation have the bounds.
            "phases": {"coverage": {"enabled": False}},
            "dictionaries": {"ids": {"values": [ID]}},
            "parameters": {
                "path.post_id": {"dictionary": "ids", "probability": 0.5},
                "path.user_id": {"dictionary": "ids", "probability": 0.5},
            },
        }
    ),
)
operations.app = app
# A client of schemathesis that is entered, as by `from_asgi`, runs the lifespan: it opens the configured database.
session = ASGIClient(app)  # type: ignore[arg-type]  # It asks for a dict, where ASGI says mapping.


def reset_rows() -> None:
    """Let each example start from the same rows, so that a failure can be shown again."""
    factory_session.execute(delete(Post))
    factory_session.execute(delete(User))
    author = UserFactory.build(id=ID, username="alice", admin=True)
    factory_session.add_all([author, UserFactory.build(id=ADMIN_ID, admin=True)])
    factory_session.flush()
    factory_session.add(PostFactory.build(id=ID, author=author))
    factory_session.commit()


@pytest.fixture
def _rows(engine: Engine) -> None:
    reset_rows()


@operations.parametrize()
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("_rows")
def test_app_does_what_its_openapi_says(case: Case[Any]) -> None:
    if case.method != "GET":
        reset_rows()
    session.headers["Authorization"] = f"Bearer {create_token(ADMIN_ID, version=0)}"

    case.call_and_validate(session=session)
