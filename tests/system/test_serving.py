"""What only a real server shows: kept connections, the address of a client, and a drain."""

from pathlib import Path

import pytest

from tests.system.server import ACCOUNT, Server, running_server, send_login


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


def test_server_answers_requests_in_flight_and_closes_its_database_when_it_stops(
    tmp_path: Path,
) -> None:
    with running_server(f"sqlite:///{tmp_path}/test.db") as server, server.client() as client:
        client.post("/auth/register", json=ACCOUNT)
        connections = [server.connect() for _ in range(6)]
        for connection in connections:
            send_login(connection, username=ACCOUNT["username"], password=ACCOUNT["password"])
        # The server has read these requests when it answers this one.
        client.get("/")
        server.process.terminate()
        answers = [connection.recv(65536) for connection in connections]
        for connection in connections:
            connection.close()

    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * 6
    # SQLite then has everything in one file, which can be copied.
    assert [file.name for file in tmp_path.iterdir()] == ["test.db"]
