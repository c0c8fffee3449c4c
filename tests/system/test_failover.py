"""A standby takes over from a primary that is lost, and the app goes on by itself.

The primary confirms a commit only when the standby has it, too (`synchronous_standby_names`).
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from uuid import uuid4

import httpx
import pytest

from tests.factories import PASSWORD
from tests.system.postgres import (
    Cluster,
    needs_postgres_server,
    new_cluster,
    new_standby,
    started_copy,
)
from tests.system.server import running_server, wait_until

pytestmark = needs_postgres_server


@pytest.fixture(scope="module")
def originals() -> Iterator[tuple[Cluster, Cluster]]:
    """Make a primary and its standby once. Each test has its own copy of them."""
    with new_cluster() as primary, new_standby(primary) as standby:
        yield primary, standby


@pytest.fixture(scope="module")
def author(originals: tuple[Cluster, Cluster]) -> Iterator[httpx.Client]:
    """Serve the app with the URL of both clusters, and send requests with the token of a user."""
    primary, standby = originals
    hosts = f"host=127.0.0.1:{primary.port}&host=127.0.0.1:{standby.port}"
    url = f"postgresql://postgres@/postgres?{hosts}&target_session_attrs=read-write"
    with running_server(url) as server, server.client() as client:
        user = {"username": "author", "email": "author@example.com", "password": PASSWORD}
        client.post("/auth/register", json=user)
        token = client.post("/auth/token", data=user).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        # The copies take over their ports. The standby stops last, so that it has everything.
        primary.stop()
        standby.stop()
        yield client


@pytest.fixture
def primary(originals: tuple[Cluster, Cluster], author: httpx.Client) -> Iterator[Cluster]:
    with started_copy(originals[0], synchronous_standby_names="*") as cluster:
        yield cluster


@pytest.fixture
def standby(originals: tuple[Cluster, Cluster], primary: Cluster) -> Iterator[Cluster]:
    with started_copy(originals[1]) as cluster:
        yield cluster


@contextmanager
def writing_posts(author: httpx.Client) -> Iterator[list[str]]:
    """Create posts without a pause, and list the titles of those that the app has acknowledged."""
    acknowledged: list[str] = []
    stopped = Event()

    def write() -> None:
        while not stopped.is_set():
            title = uuid4().hex
            response = author.post("/posts", json={"title": title, "content": "Hello"})
            if response.status_code == 201:
                acknowledged.append(title)
            else:
                assert response.status_code == 503

    with ThreadPoolExecutor(5) as threads:
        writers = [threads.submit(write) for _ in range(5)]
        try:
            wait_for_more(acknowledged)
            yield acknowledged
        finally:
            stopped.set()
    for writer in writers:
        writer.result()


def wait_for_more(acknowledged: list[str]) -> None:
    enough = len(acknowledged) + 50
    wait_until(lambda: len(acknowledged) >= enough)


def read_titles(cluster: Cluster) -> set[str]:
    return {title for (title,) in cluster.execute("SELECT title FROM posts")}


def test_writes_go_on_after_the_primary_is_killed(
    author: httpx.Client, primary: Cluster, standby: Cluster
) -> None:
    with writing_posts(author) as acknowledged:
        primary.stop("immediate")
        health = author.get("/health")
        standby.promote()
        wait_for_more(acknowledged)

    assert health.status_code == 503
    assert author.get("/health").status_code == 200
    assert set(acknowledged) <= read_titles(standby)


def test_writes_go_on_after_the_primary_goes_silent(
    author: httpx.Client, primary: Cluster, standby: Cluster
) -> None:
    with writing_posts(author) as acknowledged:
        primary.freeze()
        standby.promote()
        wait_for_more(acknowledged)

    assert author.get("/health").status_code == 200
    assert set(acknowledged) <= read_titles(standby)


def test_writes_go_on_after_the_primary_becomes_read_only(
    author: httpx.Client, primary: Cluster, standby: Cluster
) -> None:
    with writing_posts(author) as acknowledged:
        primary.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        primary.execute("SELECT pg_reload_conf()")
        wait_until(lambda: author.get("/health").status_code == 503)
        standby.promote()
        wait_for_more(acknowledged)

    assert author.get("/health").status_code == 200
    assert set(acknowledged) <= read_titles(standby)


def test_writes_go_on_after_primary_and_standby_change_places(
    author: httpx.Client, primary: Cluster, standby: Cluster
) -> None:
    with writing_posts(author) as acknowledged:
        primary.stop()
        standby.promote()
        primary.follow(standby)
        primary.start()
        wait_for_more(acknowledged)

    assert author.get("/health").status_code == 200
    wait_until(lambda: read_titles(primary) == read_titles(standby))
    assert set(acknowledged) <= read_titles(standby)
