"""Cheap attacks on the login of a real server, which may keep nobody else out."""

import socket
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from app.dependencies import HASHING_SLOTS
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


def connect(server: Server) -> socket.socket:
    """Return a connection from which the server has already read a request."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    return connection


def send_login(connection: socket.socket, username: str) -> None:
    """Send a login, and don't wait for the response."""
    form = f"username={username}&password=guess"
    request = (
        "POST /auth/token HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(form)}\r\n\r\n{form}"
    )
    connection.sendall(request.encode())


def test_no_password_is_verified_for_clients_that_are_gone(
    client: httpx.Client, server: Server
) -> None:
    login = register(client, "waiting")

    patient = [connect(server) for _ in range(HASHING_SLOTS)]
    impatient = [connect(server) for _ in range(60)]
    earlier = server.read_log()

    for number, connection in enumerate(patient + impatient):
        send_login(connection, f"nobody{number}")
    # The server has read all of these logins when it answers this request.
    client.get("/")
    for connection in impatient:
        connection.close()
    response = client.post("/auth/token", data=login)

    for connection in patient:
        connection.close()
    assert response.status_code == 200
    # Of the impatient, a few may have been verified before they were gone.
    verified = server.read_log().removeprefix(earlier).count("for user None")
    assert 0 < verified < 30
