"""Cheap attacks on the login of a real server, which may keep nobody else out."""

import socket
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from tests.factories import PASSWORD
from tests.system.server import Server, send_at_once


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def register(client: httpx.Client, username: str) -> dict[str, str]:
    """Register a user, and return the form to log in.

    Other tests use this server too: take a name that they don't use, as it may be throttled.
    """
    account = {"username": username, "email": f"{username}@example.com", "password": PASSWORD}
    client.post("/auth/register", json=account).raise_for_status()
    return {"username": username, "password": PASSWORD}


def test_guesses_at_once_are_throttled(client: httpx.Client) -> None:
    login = register(client, "guessed")
    guesses = [
        {"method": "POST", "url": "/auth/token", "data": login | {"password": f"guess {n}"}}
        for n in range(50)
    ]

    responses = send_at_once([client], guesses)

    statuses = Counter(response.status_code for response in responses)
    assert statuses.keys() == {401, 429}
    # The guess in the other hashing slot is verified too.
    assert statuses[401] in (10, 11)


def send_login(server: Server, username: str) -> socket.socket:
    """Send a login, and return the connection without waiting for the response."""
    host, port = server.url.removeprefix("http://").split(":")
    form = f"username={username}&password=guess"
    request = (
        "POST /auth/token HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(form)}\r\n\r\n{form}"
    )
    connection = socket.create_connection((host, int(port)))
    connection.sendall(request.encode())
    return connection


def test_no_password_is_verified_for_clients_that_are_gone(
    client: httpx.Client, server: Server
) -> None:
    login = register(client, "waiting")

    connections = [send_login(server, f"nobody{n}") for n in range(60)]
    # A server accepts connections one after the other, so it has read these logins by now.
    httpx.get(server.url)
    for connection in connections:
        connection.close()
    response = httpx.post(f"{server.url}/auth/token", data=login)

    assert response.status_code == 200
    # A few were verified before their clients were gone.
    assert server.read_log().count("for user None") < 30
