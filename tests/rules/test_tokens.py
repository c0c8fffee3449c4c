"""Which tokens open an account. The bad ones differ from a good one in one thing."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Self

import jwt
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlmodel import Session, select

from app.config import settings
from app.models import User, new_token_version
from tests.client import client_of, client_with_token
from tests.factories import PASSWORD, UserFactory
from tests.operations import send

KEY = settings.secret_key.get_secret_value()


def make_claims(user: User, **changes: object) -> dict[str, object]:
    """Return good claims, except for the changes. A claim that is changed to None is left out."""
    now = datetime.now(UTC)
    soon = now + timedelta(minutes=1)
    claims = {"sub": str(user.id), "version": user.token_version, "iat": now, "exp": soon}
    return {name: value for name, value in (claims | changes).items() if value is not None}


def read_account(token: str) -> Response:
    # The case of the scheme makes no difference (RFC 9110, section 11.1).
    return client_with_token(token).get("/users/me", headers={"Authorization": f"bearer {token}"})


def test_login_returns_a_token_that_lasts_as_long_as_the_settings_say(
    client: TestClient, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "access_token_expire_minutes", 5)

    response = client.post("/auth/token", data={"username": "user", "password": PASSWORD})

    assert response.json()["expires_in"] == 300
    claims = jwt.decode(response.json()["access_token"], KEY, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == 300
    assert claims == make_claims(user, iat=claims["iat"], exp=claims["exp"])


@pytest.mark.parametrize("authorization", ["", "Bearer", "Basic dXNlcjpwYXNz", "Bearer e30.e30.x"])
def test_request_without_a_jwt_is_refused(client: TestClient, authorization: str) -> None:
    response = client.get("/users/me", headers={"Authorization": authorization})

    assert response.status_code == 401
    assert response.json() == {"detail": "Could not validate credentials"}
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("key", "algorithm", "status"),
    [
        (KEY, "HS256", 200),
        ("another key of at least 32 bytes", "HS256", 401),
        (KEY, "HS512", 401),
        ("", "none", 401),
    ],
)
@pytest.mark.usefixtures("engine")
# PyJWT recommends longer keys for HS512.
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_token_must_be_signed_with_our_key_and_algorithm(
    key: str, algorithm: str, status: int
) -> None:
    user = UserFactory.create(token_version=0)  # As in accounts of the first release.

    response = read_account(jwt.encode(make_claims(user), key, algorithm))

    assert response.status_code == status


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("sub", None),
        ("sub", str(2**40)),
        ("sub", str(2**63)),
        ("sub", "user"),
        ("version", None),
        ("version", 6),
        ("version", 8),
        ("iat", None),
        ("exp", None),
        ("exp", datetime.now(UTC) - timedelta(seconds=1)),
    ],
)
def test_token_with_a_wrong_or_missing_claim_is_refused(claim: str, value: object) -> None:
    user = UserFactory.create(token_version=7)
    claims = make_claims(user, **{claim: value})

    response = read_account(jwt.encode(claims, KEY, "HS256"))

    assert response.status_code == 401


def test_token_expires_although_it_was_used_before(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    class InTwoMinutes(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(minutes=2)

    token = jwt.encode(make_claims(user), KEY, "HS256")
    before = read_account(token)
    monkeypatch.setattr("jwt.api_jwt.datetime", InTwoMinutes)

    after = read_account(token)

    assert (before.status_code, after.status_code) == (200, 401)


def test_token_of_a_host_whose_clock_is_ahead_is_accepted(user: User) -> None:
    later = datetime.now(UTC) + timedelta(seconds=30)

    response = read_account(jwt.encode(make_claims(user, iat=later), KEY, "HS256"))

    assert response.status_code == 200


def test_token_versions_are_random_numbers_of_31_bits() -> None:
    versions = [new_token_version() for _ in range(1000)]

    assert 0 <= min(versions) < 2**30 < max(versions) < 2**31


def test_new_accounts_start_at_random_versions(client: TestClient, session: Session) -> None:
    """A token can be older than the account, if the database was restored or emptied."""
    for name in ("alice", "bob"):
        account = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        client.post("/auth/register", json=account)

    first, second = session.exec(select(User.token_version)).all()
    assert abs(first - second) > 1


@pytest.mark.parametrize("operation", ["DELETE /auth/tokens", "PUT /users/me/password"])
def test_ending_all_tokens_makes_a_random_version(operation: str, session: Session) -> None:
    """A counter could reach a version again, if the database was restored."""
    first, second = UserFactory.create_batch(2, token_version=7)

    send(client_of(first), operation, {})
    send(client_of(second), operation, {})

    versions = session.exec(select(User.token_version)).all()
    assert len({7, *versions}) == 3


def test_token_of_a_deleted_account_does_not_open_a_new_one_of_that_name(
    user_client: TestClient, user: User
) -> None:
    user_client.delete("/users/me")
    account = {"username": "user", "email": user.email, "password": PASSWORD}
    user_client.post("/auth/register", json=account)

    response = user_client.get("/users/me")

    assert response.status_code == 401
