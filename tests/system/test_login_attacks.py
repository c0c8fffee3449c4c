"""Cheap attacks on the login of a real server, which may keep nobody else out."""

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.databases import new_database
from tests.factories import PASSWORD
from tests.system.server import Server, running_server, send_at_once

ALICE = {"username": "alice", "password": PASSWORD}


@contextmanager
def server_with_alice(tmp_path: Path) -> Iterator[Server]:
    """Start another server, because the failures of these tests would throttle other tests."""
    with new_database(tmp_path) as database_url, running_server(database_url) as server:
        account = ALICE | {"email": "alice@example.com"}
        httpx.post(f"{server.url}/auth/register", json=account).raise_for_status()
        yield server


def test_guesses_at_once_are_throttled(tmp_path: Path) -> None:
    guesses = [
        {"method": "POST", "url": "/auth/token", "data": ALICE | {"password": f"guess {n}"}}
        for n in range(50)
    ]

    with (
        server_with_alice(tmp_path) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        responses = send_at_once([client], guesses)

    statuses = Counter(response.status_code for response in responses)

    assert statuses.keys() == {401, 429}
    # Those that hold a hashing slot at the tenth failure are verified too.
    assert statuses[401] in range(10, 15)


def abandon_login(server: Server, username: str) -> None:
    """Send a login, and close the connection without waiting for the response."""
    host, port = server.url.removeprefix("http://").split(":")
    form = f"username={username}&password=guess"
    request = (
        "POST /auth/token HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(form)}\r\n\r\n{form}"
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request.encode())


def test_no_password_is_verified_for_clients_that_are_gone(tmp_path: Path) -> None:
    with server_with_alice(tmp_path) as server:
        for n in range(60):
            abandon_login(server, f"nobody{n}")
        response = httpx.post(f"{server.url}/auth/token", data=ALICE, timeout=30)

    assert response.status_code == 200
    # A few were verified before the server noticed that their clients were gone.
    assert server.log.count("Refused a login") < 30
