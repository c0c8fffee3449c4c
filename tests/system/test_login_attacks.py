"""Cheap attacks on the login of a real server, which may keep nobody else out."""

import socket
from collections import Counter

import httpx

from app.dependencies import HASHING_SLOTS, HashingSlot
from tests.factories import PASSWORD
from tests.system.server import Server, send_at_once


def client_at(server: Server, address: str) -> httpx.Client:
    """Make a client with this address, as failed logins are counted by address."""
    return server.client(**{"X-Forwarded-For": address})


def register(client: httpx.Client, username: str) -> dict[str, str]:
    """Register a user, and return the form to log in."""
    account = {"username": username, "email": f"{username}@example.com", "password": PASSWORD}
    client.post("/auth/register", json=account).raise_for_status()
    return {"username": username, "password": PASSWORD}


def test_guesses_at_once_are_throttled(server: Server) -> None:
    with client_at(server, "198.51.100.1") as client:
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


def send_login(connection: socket.socket, username: str) -> None:
    """Send a login, and don't wait for the response."""
    form = f"username={username}&password=guess"
    request = (
        "POST /auth/token HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 198.51.100.2\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(form)}\r\n\r\n{form}"
    )
    connection.sendall(request.encode())


def test_no_password_is_verified_for_clients_that_are_gone(server: Server) -> None:
    patient = [server.connect() for _ in range(HASHING_SLOTS)]
    impatient = [server.connect() for _ in range(60)]
    with client_at(server, "198.51.100.3") as client:
        login = register(client, "waiting")
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


def test_two_passwords_are_hashed_at_once() -> None:
    assert HashingSlot.max_concurrency == HASHING_SLOTS == 2
