"""What only a real server shows: kept connections, addresses, attacks on the login, and a stop."""

from collections import Counter
from pathlib import Path

import pytest

from app.dependencies import HASHING_SLOTS, HashingSlot
from tests.system.server import ALICE, Server, receive, running_server, send_at_once, send_login


def test_head_sends_no_body_on_a_connection_that_is_kept(server: Server) -> None:
    """Otherwise the client would read the body as the beginning of the next response."""
    with server.connect() as connection:
        connection.sendall(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, next_response = receive(connection).split(b"\r\n\r\n", maxsplit=1)

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 15" in head
    assert next_response.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(("number", "address"), [(0, "192.0.2.1"), (1, "127.0.0.1")])
def test_only_a_trusted_proxy_says_who_the_client_is(
    number: int, address: str, servers: list[Server]
) -> None:
    """Uvicorn trusts 127.0.0.1, but not where FORWARDED_ALLOW_IPS names another one."""
    server = servers[number]
    with server.client(**{"X-Forwarded-For": "192.0.2.1"}) as client:
        response = client.post("/auth/token", data={"username": "nobody", "password": "guess"})

    assert response.status_code == 401
    assert f"Refused /auth/token from {address} for user None" in server.read_log()


def test_guesses_at_once_are_throttled(server: Server) -> None:
    guesses = [
        {"method": "POST", "url": "/auth/token", "data": ALICE | {"password": f"guess {n}"}}
        for n in range(50)
    ]
    # From an address of their own, or nobody could log in as this user in the next tests.
    with server.client(**{"X-Forwarded-For": "198.51.100.1"}) as client:
        client.post("/auth/register", json=ALICE)

        responses = send_at_once([client], guesses)

    statuses = Counter(response.status_code for response in responses)
    assert statuses.keys() == {401, 429}
    # The guess in the other hashing slot is verified too.
    assert statuses[401] in (10, 11)


def test_no_password_is_verified_for_clients_that_are_gone(server: Server) -> None:
    patient = [server.connect() for _ in range(HASHING_SLOTS)]
    impatient = [server.connect() for _ in range(60)]
    with server.client() as client:
        client.post("/auth/register", json=ALICE)
        earlier = server.read_log()

        for number, connection in enumerate(patient + impatient):
            send_login(connection, username=f"nobody{number}", password="guess")
        # The server has read all of these logins when it answers this request.
        client.get("/")
        for connection in impatient:
            connection.close()
        response = client.post("/auth/token", data=ALICE)

    for connection in patient:
        connection.close()
    assert response.status_code == 200
    # Of the impatient, a few may have been verified before they were gone.
    verified = server.read_log().removeprefix(earlier).count("for user None")
    assert 0 < verified < 30


def test_two_passwords_are_hashed_at_once() -> None:
    assert HashingSlot.max_concurrency == HASHING_SLOTS == 2


def test_stopping_server_answers_requests_in_flight_and_closes_its_database(tmp_path: Path) -> None:
    with running_server(f"sqlite:///{tmp_path}/test.db") as server, server.client() as client:
        client.post("/auth/register", json=ALICE)
        connections = [server.connect() for _ in range(6)]
        for connection in connections:
            send_login(connection, username=ALICE["username"], password=ALICE["password"])
        # The server has read these requests when it answers this one.
        client.get("/")
        server.process.terminate()
        answers = [connection.recv(65536) for connection in connections]
        for connection in connections:
            connection.close()

    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * 6
    # SQLite then has everything in one file, which can be copied.
    assert [file.name for file in tmp_path.iterdir()] == ["test.db"]
