"""The app as a real process, for tests that need several of them, or one that can be killed."""

import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from subprocess import STDOUT, Popen
from tempfile import TemporaryFile
from threading import Barrier
from typing import IO, Any

import httpx
import pytest

from app.models import User
from app.security import create_token

SERVE = [sys.executable, "-m", "uvicorn", "app.main:app", "--port", "0", "--no-access-log"]


@dataclass
class Server:
    process: Popen[bytes]
    log: IO[str]
    url: str = ""

    def read_log(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def wait_until_started(self) -> None:
        while not self.url:
            assert self.process.poll() is None, self.read_log()
            time.sleep(0.01)
            self.url = "".join(re.findall(r"running on (http://[\d.:]+)", self.read_log()))

    def client(self) -> httpx.Client:
        """Make a client that loads no certificates, as that takes longer than most requests."""
        return httpx.Client(base_url=self.url, timeout=30, verify=False)


@contextmanager
def starting_server(database_url: str, **settings: str) -> Iterator[Server]:
    """Serve the app on a free port. Settings, such as SECRET_KEY="...", override those of tests."""
    environment = os.environ | {"DATABASE_URL": database_url} | settings
    with (
        # Opened to append, as the server and the test share one position in the file.
        TemporaryFile("a+") as log,
        Popen(SERVE, env=environment, stdout=log, stderr=STDOUT) as process,
    ):
        try:
            yield Server(process, log)
            process.terminate()
            process.wait(10)
        finally:
            process.kill()


@contextmanager
def running_server(database_url: str, **settings: str) -> Iterator[Server]:
    """Start a server, and wait until it serves requests."""
    with starting_server(database_url, **settings) as server:
        server.wait_until_started()
        yield server


def bearer(user: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {create_token(user.id, user.token_version)}"}


def send_at_once(
    clients: list[httpx.Client], requests: list[dict[str, Any]]
) -> list[httpx.Response]:
    """Send all requests at the same moment, from the clients in turn."""
    barrier = Barrier(len(requests))

    def send(client: httpx.Client, request: dict[str, Any]) -> httpx.Response:
        barrier.wait()
        return client.request(**request)

    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(send, cycle(clients), requests))


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true. Fail if it isn't after 30 seconds or so."""
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("It has not happened for 30 seconds")


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
