"""The app behind PgBouncer in transaction pooling, where clients share the server's connections."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from subprocess import Popen

import pytest
from httpx import Client

from tests.databases import other_defaults
from tests.postgres.clusters import (
    ENVIRONMENT,
    OWNER,
    PLAIN,
    PROGRAMS,
    Cluster,
    find_free_port,
    new_cluster,
    new_directory,
    psycopg,
)
from tests.system.server import ALICE, is_listening, running_server, wait_until

pytestmark = pytest.mark.skipif(
    not shutil.which("pgbouncer", path=PROGRAMS), reason="needs PgBouncer"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with new_cluster() as cluster:
        for statement in other_defaults("ROLE postgres"):  # They make no difference to the app.
            cluster.execute(statement)
        yield cluster


@pytest.fixture(scope="module")
def author(cluster: Cluster) -> Iterator[Client]:
    """Serve the app behind a PgBouncer, which shares a few connections among all transactions."""
    port = find_free_port()
    settings = f"""
        [databases]
        postgres = host=127.0.0.1 port={cluster.port} user=postgres
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = any
        pool_mode = transaction
        default_pool_size = 5
    """
    with new_directory() as directory:
        config = directory / "pgbouncer.ini"
        config.write_text(settings, encoding="utf-8")
        with Popen(["pgbouncer", "--quiet", config], user=OWNER, env=ENVIRONMENT) as pgbouncer:
            try:
                wait_until(lambda: is_listening(port))
                url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
                with running_server(url) as server, server.client() as client:
                    client.post("/auth/register", json=ALICE)
                    token = client.post("/auth/token", data=ALICE).json()["access_token"]
                    client.headers["Authorization"] = f"Bearer {token}"
                    yield client
            finally:
                pgbouncer.kill()


def test_many_clients_get_the_answers_to_their_own_requests(author: Client) -> None:
    def publish_and_read(number: int) -> bool:
        body = {"title": f"漢字 {number}", "content": "Some content."}
        created = author.post("/posts", json=body)
        read = author.get(created.headers["Location"])
        # The date shows whether PostgreSQL wrote it in the style that the app reads.
        return read.status_code == 200 and read.json() == created.json() | body

    with ThreadPoolExecutor(40) as threads:
        results = list(threads.map(publish_and_read, range(200)))

    assert results == [True] * 200


def test_statement_that_waits_for_a_lock_is_given_up(author: Client, cluster: Cluster) -> None:
    post = {"title": "Hello", "content": "My first post."}
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"

    with psycopg.connect(cluster.url, **PLAIN) as other:
        other.execute("LOCK TABLE posts")
        given_up = author.post("/posts", json=post)
        wait_until(lambda: other.execute(waiting).fetchone() == (0,))

    assert given_up.status_code == 503
    assert author.post("/posts", json=post).status_code == 201
