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

from tests.postgres.clusters import PROGRAMS, Cluster, author_of_posts, new_cluster
from tests.system.server import send_at_once, wait_until


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
def author(primary: Cluster, standby: Cluster) -> Iterator[Client]:
    """Serve the app with the URL of both servers, of which it looks for the one it can write to."""
    hosts = f"host=127.0.0.1:{primary.port}&host=127.0.0.1:{standby.port}"
    url = f"postgresql://postgres@/postgres?{hosts}&target_session_attrs=read-write"
    with author_of_posts(url) as author:
        author.timeout = 15  # It may take 6.5 seconds, as there are two hosts.
        yield author


@contextmanager
def writing_goes_on(author: Client, standby: Cluster) -> Iterator[None]:
    """Create posts all the time. At the end, the standby must have all that were acknowledged."""
    acknowledged: set[str] = set()
    stopped = Event()

    def write() -> None:
        while not stopped.is_set():
            title = uuid4().hex
            response = author.post("/posts", json={"title": title, "content": "Hello"})
            assert response.status_code in (201, 503)
            if response.status_code == 201:
                acknowledged.add(title)

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
    assert author.get("/health").status_code == 200
    assert acknowledged <= {title for (title,) in standby.execute("SELECT title FROM posts")}


def test_app_survives_a_killed_primary(author: Client, primary: Cluster, standby: Cluster) -> None:
    with writing_goes_on(author, standby):
        primary.stop("immediate")
        assert author.get("/health").status_code == 503
        standby.promote()


def test_app_survives_a_silent_primary(author: Client, primary: Cluster, standby: Cluster) -> None:
    with writing_goes_on(author, standby):
        # The kernel still accepts connections and acknowledges packets.
        primary.send_signal(SIGSTOP)
        assert author.get("/health").status_code == 503
        standby.promote()


def test_app_survives_read_only_primary(author: Client, primary: Cluster, standby: Cluster) -> None:
    with writing_goes_on(author, standby):
        primary.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        primary.execute("SELECT pg_reload_conf()")
        wait_until(lambda: author.get("/health").status_code == 503)
        standby.promote()


def test_app_survives_swapped_roles(author: Client, primary: Cluster, standby: Cluster) -> None:
    with writing_goes_on(author, standby):
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
    post = {"title": "Hello", "content": "My first post."}
    create: dict[str, Any] = {"method": "POST", "url": "/posts", "json": post}
    with new_cluster() as cluster, author_of_posts(cluster.url) as author:
        author.timeout = 5  # The app may take no longer than that.
        with dropping_packets(cluster.port):
            # One finds out that its connection is dead, and the other can't make a new one.
            reading, writing = send_at_once([author], [{"method": "GET", "url": "/posts"}, create])
        after = author.request(**create)
        posts = author.get("/posts")

    assert [reading.status_code, writing.status_code] == [503, 503]
    assert reading.json() == writing.json() == {"detail": "Database unavailable"}
    assert reading.headers["Retry-After"] == writing.headers["Retry-After"] == "5"
    assert after.status_code == 201
    assert posts.json() == [after.json()]
