"""What only a real server shows: kept connections, the address of a client, and a drain."""

from pathlib import Path

import pytest

from tests.databases import new_database
from tests.factories import PASSWORD
from tests.system.server import Server, running_server

ACCOUNT = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}
WRONG_LOGIN = {"username": "alice", "password": "wrong password"}


def test_head_sends_no_body_on_a_connection_that_is_kept(server: Server) -> None:
    """Otherwise the client would read the body as the beginning of the next response."""
    with server.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = [stream.readline() for _ in range(5)]
        while head[-1] != b"\r\n":
            head.append(stream.readline())
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        next_line = stream.readline()

    assert head[0] == b"HTTP/1.1 200 OK\r\n"
    assert b"content-length: 15\r\n" in head
    assert next_line == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("forwarded_for", "address"), [("192.0.2.1", "192.0.2.1"), ("192.0.2.2:50000", "192.0.2.2")]
)
def test_trusted_proxy_says_who_the_client_is(
    server: Server, forwarded_for: str, address: str
) -> None:
    """Uvicorn trusts 127.0.0.1, unless FORWARDED_ALLOW_IPS says otherwise."""
    with server.client(**{"X-Forwarded-For": forwarded_for}) as client:
        response = client.post("/auth/token", data=WRONG_LOGIN)

    assert response.status_code == 401
    assert f"Refused /auth/token from {address} for user None" in server.read_log()


def test_other_clients_cannot_choose_their_address(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/test.db"
    with running_server(url, FORWARDED_ALLOW_IPS="192.0.2.9") as server:
        with server.client(**{"X-Forwarded-For": "192.0.2.1"}) as client:
            client.post("/auth/token", data=WRONG_LOGIN)
        log = server.read_log()

    assert "Refused /auth/token from 127.0.0.1 for user None" in log


def test_requests_in_flight_are_answered_before_the_server_stops(tmp_path: Path) -> None:
    form = f"username=alice&password={PASSWORD}".replace(" ", "+")
    request = (
        "POST /auth/token HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(form)}\r\n\r\n{form}"
    )

    with new_database(tmp_path) as url, running_server(url) as server, server.client() as client:
        client.post("/auth/register", json=ACCOUNT)
        connections = [server.connect() for _ in range(6)]
        for connection in connections:
            connection.sendall(request.encode())
        # The server has read these requests when it answers this one.
        client.get("/")
        server.process.terminate()
        answers = [connection.recv(65536) for connection in connections]
        for connection in connections:
            connection.close()

    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * 6
