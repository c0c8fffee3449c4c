"""The app behind PgBouncer in transaction pooling, where clients share the server's connections."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import NullPool, create_engine

from tests.databases import used_by_app_and_factories
from tests.factories import PASSWORD, UserFactory
from tests.system.postgres import (
    Cluster,
    needs_pgbouncer,
    needs_postgres_server,
    new_cluster,
    running_pgbouncer,
)
from tests.system.server import Server, bearer, running_server, send_at_once, wait_until

psycopg = pytest.importorskip("psycopg", reason="needs the extra postgres")
pytestmark = [needs_postgres_server, needs_pgbouncer]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Start a server with other defaults than usual, which must make no difference to the app."""
    settings = {"default_transaction_isolation": "serializable", "client_encoding": "latin1"}
    with new_cluster(**settings) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[Server]:
    with (
        running_pgbouncer(cluster, pool_size=5) as url,
        running_server(url, FIRST_USER_IS_ADMIN="false") as server,
    ):
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    """Send requests with the token of a new user."""
    account = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}
    with server.client() as client:
        client.post("/auth/register", json=account)
        form = {"username": "alice", "password": PASSWORD}
        token = client.post("/auth/token", data=form).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def test_many_clients_get_the_answers_to_their_own_requests(client: httpx.Client) -> None:
    def publish_and_read(number: int) -> tuple[int, bool]:
        body = {"title": f"漢字 {number}", "content": "Some content."}
        created = client.post("/posts", json=body)
        read = client.get(created.headers["Location"])
        return read.status_code, read.json()["title"] == body["title"]

    with ThreadPoolExecutor(40) as threads:
        results = Counter(threads.map(publish_and_read, range(200)))

    assert results == {(200, True): 200}


def test_statement_that_waits_for_a_lock_is_given_up(
    client: httpx.Client, cluster: Cluster
) -> None:
    post = {"title": "Hello", "content": "My first post."}
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"

    with psycopg.connect(cluster.url) as other:
        other.execute("LOCK TABLE posts")
        given_up = client.post("/posts", json=post)
        wait_until(lambda: other.execute(waiting).fetchone() == (0,))

    assert given_up.status_code == 503
    assert client.post("/posts", json=post).status_code == 201


def test_last_of_the_admins_who_resign_at_once_stays_behind_pgbouncer(
    client: httpx.Client, cluster: Cluster
) -> None:
    with used_by_app_and_factories(create_engine(cluster.url, poolclass=NullPool)):
        admins = UserFactory.create_batch(6, admin=True)
    resignations = [
        {"method": "DELETE", "url": "/users/me", "headers": bearer(admin)} for admin in admins
    ]

    responses = send_at_once([client], resignations)

    assert sorted(response.status_code for response in responses) == [204] * 5 + [409]
    assert cluster.execute("SELECT count(*) FROM users WHERE is_admin") == [(1,)]
