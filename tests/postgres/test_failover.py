"""A standby takes over from a primary that is lost, or no packets arrive, and the app goes on."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from signal import SIGSTOP
from subprocess import PIPE, Popen
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from httpx import Client

from tests.postgres.clusters import PROGRAMS, Cluster, new_cluster
from tests.system.server import ALICE, registration, running_server, send_at_once, wait_until


@pytest.fixture
def primary() -> Iterator[Cluster]:
    with new_cluster() as primary:
        yield primary


@pytest.fixture
def standby(primary: Cluster) -> Iterator[Cluster]:
    with new_cluster(primary) as standby:
        # From now on, the primary only confirms a commit when the standby has it, too.
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.execute("SELECT pg_reload_conf()")
        yield standby


@pytest.fixture
def client(primary: Cluster, standby: Cluster) -> Iterator[Client]:
    """Serve the app with the URL of both servers, of which it looks for the one it can write to."""
    hosts = f"host=127.0.0.1:{primary.port}&host=127.0.0.1:{standby.port}"
    url = f"postgresql://postgres@/postgres?{hosts}&target_session_attrs=read-write"
    with running_server(url) as server, server.client() as client:
        client.timeout = 15  # It may take 6.5 seconds, as there are two hosts.
        yield client


@contextmanager
def writing_goes_on(client: Client, standby: Cluster) -> Iterator[None]:
    """Register users all the time. At the end, the standby must have all that were acknowledged."""
    acknowledged: set[str] = set()
    stopped = Event()

    def write() -> None:
        while not stopped.is_set():
            username = uuid4().hex
            response = client.request(**registration(username))
            assert response.status_code in (201, 503)
            if response.status_code == 201:
                acknowledged.add(username)

    def wait_for_more() -> None:
        enough = len(acknowledged) + 50
        wait_until(lambda: len(acknowledged) >= enough)

    with ThreadPoolExecutor(5) as threads:
        writers = [threads.submit(write) for _ in range(5)]
        try:
            wait_for_more()
            yield
            wait_for_more()
        finally:
            stopped.set()
    for writer in writers:
        writer.result()
    assert client.get("/health").status_code == 200
    assert acknowledged <= {name for (name,) in standby.execute("SELECT username FROM users")}


def test_app_survives_a_killed_primary(client: Client, primary: Cluster, standby: Cluster) -> None:
    with writing_goes_on(client, standby):
        primary.stop("immediate")
        assert client.get("/health").status_code == 503
        standby.promote()


def test_app_survives_a_silent_primary(client: Client, primary: Cluster, standby: Cluster) -> None:
    with writing_goes_on(client, standby):
        # The kernel still accepts connections and acknowledges packets.
        primary.send_signal(SIGSTOP)
        assert client.get("/health").status_code == 503
        standby.promote()


def test_app_survives_read_only_primary(client: Client, primary: Cluster, standby: Cluster) -> None:
    with writing_goes_on(client, standby):
        primary.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        primary.execute("SELECT pg_reload_conf()")
        wait_until(lambda: client.get("/health").status_code == 503)
        standby.promote()


def test_app_survives_swapped_roles(client: Client, primary: Cluster, standby: Cluster) -> None:
    with writing_goes_on(client, standby):
        primary.stop()
        standby.promote()
        primary.follow(standby)
        primary.start()


@contextmanager
def dropping_packets(port: int) -> Iterator[None]:
    """Drop all packets to a port, so that the database neither answers nor refuses anything.

    This changes the firewall of the machine for some seconds, so it has to be asked for.
    The shell removes the rule when its input ends. That also happens if the tests are killed.
    """
    rule = f"INPUT -i lo -p tcp --dport {port} -j DROP"
    script = f"iptables -w -I {rule} && echo added && cat; iptables -w -D {rule}"
    with Popen(
        ["sh", "-c", script],
        env={"PATH": PROGRAMS},
        stdin=PIPE,
        stdout=PIPE,
        start_new_session=True,  # Ctrl-C doesn't reach it.
    ) as shell:
        assert shell.stdout
        assert shell.stdout.readline() == b"added\n"
        yield
        shell.communicate()
    assert shell.returncode == 0


@pytest.mark.skipif(
    os.environ.get("TEST_IPTABLES") != "1",
    reason="needs TEST_IPTABLES=1, iptables, and root with NET_ADMIN",
)
def test_requests_are_given_up_while_packets_are_dropped() -> None:
    log_in: dict[str, Any] = {"method": "POST", "url": "/auth/token", "data": ALICE}
    register = registration("bob")
    with new_cluster() as cluster, running_server(cluster.url) as server, server.client() as client:
        client.post("/auth/register", json=ALICE)
        client.timeout = 5  # The app may take no longer than that.
        with dropping_packets(cluster.port):
            # One finds out that its connection is dead, and the other can't make a new one.
            responses = send_at_once([client], [log_in, register])
        after = [client.request(**log_in), client.request(**register)]

    for response in responses:
        assert response.status_code == 503
        assert response.json() == {"detail": "Database unavailable"}
        assert response.headers["Retry-After"] == "5"
    assert [response.status_code for response in after] == [200, 201]
