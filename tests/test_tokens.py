"""Which tokens are refused, and why: the payload of each differs from a good one in one thing."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from fastapi.testclient import TestClient

from app.config import settings
from app.models import User
from app.security import create_token
from tests.factories import UserFactory

KEY = settings.secret_key.get_secret_value()


def sign(
    user: User, *, key: bytes = KEY, algorithm: str = "HS256", drop: str = "", **changes: object
) -> str:
    now = datetime.now(UTC)
    payload = {
        "sub": str(user.id),
        "version": user.token_version,
        "iat": now,
        "exp": now + timedelta(minutes=1),
    } | changes
    payload.pop(drop, None)
    return jwt.encode(payload, key, algorithm)


def unsigned(user: User) -> str:
    _, payload, _ = sign(user).split(".")
    none = (
        base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode())
        .decode()
        .rstrip("=")
    )
    return f"{none}.{payload}."


def status_of(client: TestClient, token: str) -> int:
    response = client.get("/users/me", headers={"Authorization": f"Bearer {token}"})
    if response.status_code != 200:
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert response.json() == {"detail": "Could not validate credentials"}
    return response.status_code


def test_token_signed_by_this_test_is_good(client: TestClient, user: User) -> None:
    assert status_of(client, sign(user)) == 200


def test_token_of_the_last_possible_user_is_good(client: TestClient) -> None:
    user = UserFactory.create(id=2**63 - 1)

    assert status_of(client, sign(user)) == 200


BAD_TOKENS: dict[str, Callable[[User], str]] = {
    "of another key": lambda user: sign(user, key=b"another key of at least 32 bytes"),
    "of no algorithm": unsigned,
    "of HS512": lambda user: sign(user, key=KEY * 2, algorithm="HS512"),
    "of HS384": lambda user: sign(user, key=KEY * 2, algorithm="HS384"),
    "expired": lambda user: sign(user, exp=datetime.now(UTC) - timedelta(seconds=1)),
    "without exp": lambda user: sign(user, drop="exp"),
    "without iat": lambda user: sign(user, drop="iat"),
    "without sub": lambda user: sign(user, drop="sub"),
    "without version": lambda user: sign(user, drop="version"),
    "issued in the future": lambda user: sign(user, iat=datetime.now(UTC) + timedelta(hours=1)),
    "of an unknown user": lambda user: sign(user, sub=str(user.id + 1)),
    "of a user beyond 64 bits": lambda user: sign(user, sub=str(2**63)),
    "of a user with 5,000 digits": lambda user: sign(user, sub="9" * 5000),
    "of a negative user": lambda user: sign(user, sub=str(-user.id)),
    "of a user that is no number": lambda user: sign(user, sub=user.username),
    "of no user": lambda user: sign(user, sub=""),
    "of a later version": lambda user: sign(user, version=1),
    "of an earlier version": lambda user: sign(user, version=-1),
    "of a version that is no number": lambda user: sign(user, version="x"),
    "cut": lambda user: sign(user)[:-10],
    "with another payload": lambda user: sign(user).replace(".", ".e30", 1),
    "of two parts": lambda user: sign(user).rsplit(".", 1)[0],
    "of garbage": lambda _: "garbage",
    "of nothing": lambda _: "",
}


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_bad_token_is_refused(client: TestClient, user: User, kind: str) -> None:
    assert status_of(client, BAD_TOKENS[kind](user)) == 401


@pytest.mark.parametrize("authorization", ["", "Bearer", "Basic dXNlcjpwYXNz", "Token abc"])
def test_request_without_a_bearer_token_is_refused(client: TestClient, authorization: str) -> None:
    response = client.get("/users/me", headers={"Authorization": authorization})

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_token_of_a_deleted_user_is_refused(
    client: TestClient, user: User, admin_client: TestClient
) -> None:
    token = create_token(user.id, user.token_version)
    admin_client.delete(f"/admin/users/{user.id}")

    assert status_of(client, token) == 401


def test_token_says_when_it_was_issued_and_when_it_ends(user: User) -> None:
    payload = jwt.decode(create_token(user.id, 3), KEY, algorithms=["HS256"])

    assert payload == {
        "sub": str(user.id),
        "version": 3,
        "iat": payload["iat"],
        "exp": payload["iat"] + 1800,
    }
