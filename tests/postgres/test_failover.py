"""A standby takes over from a primary that is lost, and the app goes on by itself."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from signal import SIGSTOP
from threading import Event
from uuid import uuid4

import pytest
from httpx import Client

from tests.postgres.clusters import Cluster, author_of_posts, new_cluster
from tests.system.server import wait_until


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
        health = author.get("/health")
        standby.promote()

    assert health.status_code == 503


def test_app_survives_a_silent_primary(author: Client, primary: Cluster, standby: Cluster) -> None:
    with writing_goes_on(author, standby):
        # The kernel still accepts connections and acknowledges packets.
        primary.send_signal(SIGSTOP)
        health = author.get("/health")
        standby.promote()

    assert health.status_code == 503


def test_app_survives_read_only_primary(author: Client, primary: Cluster, standby: Cluster) -> None:
    with writing_goes_on(author, standby):
        primary.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        primary.execute("SELECT pg_reload_conf()")
        wait_until(lambda: author.get("/health").status_code == 503)
        standby.promote()


def test_app_survives_a_change_of_places(
    author: Client, primary: Cluster, standby: Cluster
) -> None:
    with writing_goes_on(author, standby):
        primary.stop()
        standby.promote()
        primary.follow(standby)
        primary.start()
