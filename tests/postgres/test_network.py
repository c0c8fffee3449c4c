"""A network that drops the packets to the database, which neither answers nor refuses anything.

This changes the firewall of the machine for some seconds, so it has to be asked for:
TEST_IPTABLES=1 uv run pytest tests/postgres/test_network.py
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen
from typing import Any

import pytest

from tests.postgres.clusters import PROGRAMS, author_of_posts, new_cluster
from tests.system.server import send_at_once

pytestmark = pytest.mark.skipif(
    os.environ.get("TEST_IPTABLES") != "1",
    reason="needs TEST_IPTABLES=1, iptables, and root with NET_ADMIN",
)


@contextmanager
def dropping_packets(port: int) -> Iterator[None]:
    """Drop all packets to a port of this machine.

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
