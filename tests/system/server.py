"""The app as a real process, for tests that need several of them, or one that can be killed."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Barrier
from typing import IO, Any
from urllib.parse import urlencode

import httpx
import pytest

from app.config import Settings
from app.models import User
from app.security import create_token
from tests.client import check_documented
from tests.factories import PASSWORD

ROOT = Path(__file__).parents[2]
SERVE = ["-m", "uvicorn", "app.main:app", "--port", "0", "--no-access-log"]
# The settings that tests/conftest.py has made.
SETTINGS = {name: os.environ[name] for name in map(str.upper, Settings.model_fields)}
ALICE = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}


def copy_app(directory: Path) -> Path:
    """Copy the app into a directory, and return the directory, for use as PYTHONPATH."""
    shutil.copytree(ROOT / "app", directory / "app")
    shutil.copy(ROOT / "pyproject.toml", directory)
    return directory


def environment(**variables: str) -> dict[str, str]:
    """Return variables for a process that runs the app.

    It has none of the others that are set here: Python, Uvicorn and libpq read some, such as
    WEB_CONCURRENCY, and a test must not depend on them.
    """
    kept = r"PATH|HOME|TMPDIR|SYSTEMROOT|COV.*"  # Coverage passes the last ones on to processes.
    inherited = {name: value for name, value in os.environ.items() if re.fullmatch(kept, name)}
    return inherited | {"PYTHONPATH": str(ROOT)} | variables


def run(*arguments: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a directory until it ends, with no settings but those that are given."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=environment(**variables),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )


def read_and_check(response: httpx.Response) -> None:
    response.read()
    check_documented(response)


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    log: IO[str]
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def read_log(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def wait_until_started(self) -> None:
        def has_started_or_ended() -> bool:
            # With several processes, the first one logs the port before the others listen at it.
            if port := re.search(r"running on http://127\.0\.0\.1:(\d+)", self.read_log()):
                self.port = int(port[1])
            return is_listening(self.port) or self.process.poll() is not None

        wait_until(has_started_or_ended)
        assert self.process.poll() is None, f"The server ended:\n{self.read_log()}"

    def client(self, **headers: str) -> httpx.Client:
        """Make a client that checks every response as tests/client.py does.

        It doesn't use a proxy (`trust_env`), and it doesn't load certificates (`verify`), as that
        takes longer than most requests.
        """
        return httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=30,
            trust_env=False,
            verify=False,
            event_hooks={"response": [read_and_check]},
        )

    def connect(self) -> socket.socket:
        """Return a connection from which the server has already read a request."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        receive(connection)
        return connection


def receive(connection: socket.socket) -> bytes:
    """Return all bytes up to the end of a JSON object."""
    received = b""
    while not received.endswith(b"}"):
        received += connection.recv(65536)
    return received


def send_login(connection: socket.socket, **form: str) -> None:
    """Send a login, and don't wait for the response."""
    body = urlencode(form)
    request = (
        "POST /auth/token HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    connection.sendall(request.encode())


@contextmanager
def running(*arguments: str, directory: Path, **variables: str) -> Iterator[Server]:
    """Run Python in a directory until its server has started, and stop it at the end."""
    with (
        # Opened to append, as the server and the test share one position in the file.
        TemporaryFile("a+", encoding="utf-8") as log,
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=directory,
            env=environment(**variables),
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,  # With its workers.
        ) as process,
    ):
        server = Server(process, log)
        try:
            server.wait_until_started()
            yield server
            process.terminate()
            process.wait(10)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def running_server(database_url: str, *options: str, **variables: str) -> Iterator[Server]:
    """Serve the app on a free port. Variables, such as SECRET_KEY="...", override those of tests.

    It runs in an empty directory, so it reads no `.env`, and leaves nothing in the project.
    """
    settings = SETTINGS | {"DATABASE_URL": database_url} | variables
    with (
        TemporaryDirectory() as directory,
        running(*SERVE, *options, directory=Path(directory), **settings) as server,
    ):
        yield server


def registration(username: str, email: str | None = None) -> dict[str, Any]:
    """Return the arguments with which `client.request` registers a user."""
    email = email or f"{username}@example.com"
    account = {"username": username, "email": email, "password": PASSWORD}
    return {"method": "POST", "url": "/auth/register", "json": account}


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
    """Wait until a condition is true. Fail after 30 seconds or so."""
    for _ in range(1500):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("Timed out after 30 seconds")


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
