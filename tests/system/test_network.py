"""A network that drops the packets to the database, which neither answers nor refuses anything."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import DEVNULL, run

import httpx
import pytest

from tests.factories import PASSWORD
from tests.system.postgres import (
    PROGRAMS,
    Cluster,
    find_program,
    needs_postgres_server,
    new_cluster,
)
from tests.system.server import running_server, send_at_once


def can_drop_packets() -> bool:
    """Only root can, and in a container only with the capability NET_ADMIN."""
    path = shutil.which("iptables", path=PROGRAMS)
    if path is None:
        return False
    listing = run([path, "-w", "-S", "INPUT"], stdout=DEVNULL, stderr=DEVNULL, check=False)
    return listing.returncode == 0


pytestmark = [
    needs_postgres_server,
    pytest.mark.skipif(not can_drop_packets(), reason="needs iptables, root and NET_ADMIN"),
]

POST = {"title": "Hello", "content": "My first post."}


@contextmanager
def dropping_packets(port: int) -> Iterator[None]:
    """Drop all packets to a port of this machine."""
    iptables = [find_program("iptables"), "-w"]
    rule = ["INPUT", "-i", "lo", "-p", "tcp", "--dport", str(port), "-j", "DROP"]
    run([*iptables, "-I", *rule], check=True)
    try:
        yield
    finally:
        run([*iptables, "-D", *rule], check=True)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with new_cluster() as cluster:
        yield cluster


@pytest.fixture
def author(cluster: Cluster) -> Iterator[httpx.Client]:
    """Send requests with the token of a user, and wait no longer than the app may take: 5 s."""
    account = {"username": "author", "email": "author@example.com", "password": PASSWORD}
    with running_server(cluster.url) as server, server.client() as client:
        client.timeout = 5
        client.post("/auth/register", json=account)
        token = client.post("/auth/token", data=account).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def test_requests_are_given_up_while_packets_are_dropped(
    author: httpx.Client, cluster: Cluster
) -> None:
    with dropping_packets(cluster.port):
        # One finds out that its connection is dead, and the other can't make a new one.
        reading, writing = send_at_once(
            [author],
            [{"method": "GET", "url": "/posts"}, {"method": "POST", "url": "/posts", "json": POST}],
        )
    after = author.post("/posts", json=POST)

    assert [reading.status_code, writing.status_code] == [503, 503]
    assert reading.json() == writing.json() == {"detail": "Database unavailable"}
    assert reading.headers["Retry-After"] == writing.headers["Retry-After"] == "5"
    assert after.status_code == 201
    assert author.get("/posts").json() == [after.json()]
