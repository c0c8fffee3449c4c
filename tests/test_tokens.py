"""Which tokens open an account. The bad ones differ from a good one in one thing."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlmodel import Session, select

from app.config import settings
from app.models import User
from app.security import create_token
from tests.client import client_of
from tests.factories import PASSWORD, PostFactory, UserFactory
from tests.operations import send

KEY = settings.secret_key.get_secret_value()


def good_claims(user: User) -> dict[str, object]:
    now = datetime.now(UTC)
    return {
        "sub": str(user.id),
        "version": user.token_version,
        "iat": now,
        "exp": now + timedelta(minutes=1),
    }


def sign(claims: dict[str, object]) -> str:
    return jwt.encode(claims, KEY, "HS256")


def read_account(client: TestClient, token: str) -> Response:
    return client.get("/users/me", headers={"Authorization": f"Bearer {token}"})


def test_token_holds_the_user_the_version_and_two_times(user: User) -> None:
    token = create_token(user.id, 3)

    claims = jwt.decode(token, KEY, algorithms=["HS256"])
    assert claims == {
        "sub": str(user.id),
        "version": 3,
        "iat": claims["iat"],
        "exp": claims["iat"] + 1800,
    }


def test_token_expires_after_the_minutes_of_the_settings(
    client: TestClient, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "access_token_expire_minutes", 5)

    response = client.post("/auth/token", data={"username": "user", "password": PASSWORD})

    claims = jwt.decode(response.json()["access_token"], KEY, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == 300
    assert response.json()["expires_in"] == 300


def test_good_token_opens_the_account(client: TestClient, user: User) -> None:
    response = read_account(client, sign(good_claims(user)))

    assert response.status_code == 200
    assert response.json()["id"] == user.id


def test_user_with_the_greatest_id_can_have_a_token(client: TestClient) -> None:
    user = UserFactory.create(id=2**63 - 1)

    response = read_account(client, sign(good_claims(user)))

    assert response.status_code == 200


@pytest.mark.parametrize("authorization", ["", "Bearer", "Basic dXNlcjpwYXNz", "Token abc"])
def test_request_without_a_token_is_refused(client: TestClient, authorization: str) -> None:
    response = client.get("/users/me", headers={"Authorization": authorization})

    assert response.status_code == 401
    assert response.json() == {"detail": "Could not validate credentials"}
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("token", ["garbage", "e30.e30", "e30.e30.e30", "x" * 10_000])
def test_token_that_is_no_jwt_is_refused(client: TestClient, token: str) -> None:
    response = read_account(client, token)

    assert response.status_code == 401
    assert response.json() == {"detail": "Could not validate credentials"}
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_token_with_a_changed_payload_is_refused(
    client: TestClient, user: User, admin: User
) -> None:
    header, _, signature = sign(good_claims(user)).split(".")
    _, payload, _ = sign(good_claims(admin)).split(".")

    response = read_account(client, f"{header}.{payload}.{signature}")

    assert response.status_code == 401


def test_token_signed_with_another_key_is_refused(client: TestClient, user: User) -> None:
    token = jwt.encode(good_claims(user), "another key of at least 32 bytes", "HS256")

    response = read_account(client, token)

    assert response.status_code == 401


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_token_signed_with_another_algorithm_is_refused(
    client: TestClient, user: User, algorithm: str
) -> None:
    token = jwt.encode(good_claims(user), KEY, algorithm)

    response = read_account(client, token)

    assert response.status_code == 401


def test_unsigned_token_is_refused(client: TestClient, user: User) -> None:
    token = jwt.encode(good_claims(user), "", "none")

    response = read_account(client, token)

    assert response.status_code == 401


@pytest.mark.parametrize("missing", ["sub", "version", "iat", "exp"])
def test_token_needs_each_of_its_claims(client: TestClient, user: User, missing: str) -> None:
    claims = good_claims(user)
    del claims[missing]

    response = read_account(client, sign(claims))

    assert response.status_code == 401


@pytest.mark.parametrize("sub", [str(2**40), "0", "-1", str(2**63), "9" * 5_000, "user", "1.5", ""])
def test_token_with_an_unknown_or_invalid_user_id_is_refused(
    client: TestClient, user: User, sub: str
) -> None:
    response = read_account(client, sign(good_claims(user) | {"sub": sub}))

    assert response.status_code == 401


@pytest.mark.parametrize("version", [6, 8, -7, 0, "x", None])
def test_token_of_another_version_is_refused(client: TestClient, version: object) -> None:
    user = UserFactory.create(token_version=7)

    response = read_account(client, sign(good_claims(user) | {"version": version}))

    assert response.status_code == 401


def test_expired_token_is_refused(client: TestClient, user: User) -> None:
    expired = datetime.now(UTC) - timedelta(seconds=1)

    response = read_account(client, sign(good_claims(user) | {"exp": expired}))

    assert response.status_code == 401


def test_token_of_a_host_whose_clock_is_ahead_is_accepted(client: TestClient, user: User) -> None:
    later = datetime.now(UTC) + timedelta(seconds=30)

    response = read_account(client, sign(good_claims(user) | {"iat": later}))

    assert response.status_code == 200


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
    user = UserFactory.create(token_version=7)
    other = UserFactory.create(token_version=7)
    post = PostFactory.create()

    send(client_of(user), operation, user, post)
    send(client_of(other), operation, other, post)

    first = session.get_one(User, user.id).token_version
    second = session.get_one(User, other.id).token_version
    assert len({7, first, second}) == 3


def test_token_of_a_deleted_account_does_not_open_a_new_one_of_that_name(
    client: TestClient, user: User, admin_client: TestClient
) -> None:
    token = create_token(user.id, user.token_version)
    admin_client.delete(f"/admin/users/{user.id}")
    account = {"username": "user", "email": user.email, "password": PASSWORD}
    client.post("/auth/register", json=account)

    response = read_account(client, token)

    assert response.status_code == 401
