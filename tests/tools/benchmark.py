"""Measure what each operation costs: `uv run python -m tests.tools.benchmark`.

First it calls the app in this process, one request after the other. Then it starts a server and
sends it requests on 16 connections. It uses SQLite, or PostgreSQL with TEST_DATABASE_URL. To see
what a change costs, compare several runs with and without it on the same quiet machine.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

# One key for this process and for the server, so that the token made here works there.
os.environ["SECRET_KEY"] = secrets.token_urlsafe(32)

from sqlmodel import SQLModel
from starlette.types import Message

from app.main import app
from app.models import User
from app.security import create_token
from tests.databases import new_database, new_engine, used_by_app_and_factories
from tests.factories import PASSWORD, PostFactory, UserFactory
from tests.system.server import running_server

CONNECTIONS = 16
ROWS = 60  # More than a page has.
numbers = count()

Send = Callable[[], Awaitable[int]]  # Send a request and return the status of its answer.


@dataclass
class Operation:
    """A request; each # in its body becomes another number every time."""

    method: str
    path: str
    body: str = ""
    content_type: str = "application/json"

    def fill(self) -> bytes:
        return self.body.replace("#", str(next(numbers))).encode()


OPERATIONS = [
    Operation("GET", "/health"),
    Operation("GET", "/users/me"),
    Operation("PATCH", "/users/me", '{"email": "me#@example.com"}'),
    Operation("GET", "/posts"),
    Operation("GET", "/posts/1"),
    Operation("POST", "/posts", '{"title": "Post #", "content": "Some content."}'),
    Operation("PATCH", "/posts/1", '{"title": "Post #"}'),
    Operation("GET", "/admin/users"),
    Operation(
        "POST",
        "/auth/register",
        '{"username": "new#", "email": "new#@example.com", "password": "horse staple"}',
    ),
    Operation(
        "POST",
        "/auth/token",
        f"username=somebody&password={PASSWORD}",
        "application/x-www-form-urlencoded",
    ),
]


def call_app(operation: Operation, token: str) -> Send:
    """Prepare to call the app as a server would."""
    headers = [
        (b"authorization", f"Bearer {token}".encode()),
        (b"content-type", operation.content_type.encode()),
    ]
    scope = {
        "type": "http",
        "method": operation.method,
        "path": operation.path,
        "root_path": "",
        "query_string": b"",
    }
    scope |= {"headers": headers, "client": ("127.0.0.1", 1)}

    async def send() -> int:
        status = 0

        async def receive() -> Message:
            return {"type": "http.request", "body": operation.fill()}

        async def answer(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)

        await app(dict(scope), receive, answer)
        return status

    return send


async def connect(url: str, operation: Operation, token: str) -> Send:
    """Open a connection to the server, to be used for one request after the other."""
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    start = (
        f"{operation.method} {operation.path} HTTP/1.1\r\nhost: localhost\r\n"
        f"authorization: Bearer {token}\r\n"
        f"content-type: {operation.content_type}\r\ncontent-length: "
    )

    async def send() -> int:
        body = operation.fill()
        writer.write(f"{start}{len(body)}\r\n\r\n".encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(re.findall(rb"content-length: (\d+)", head)[0]))
        return int(head.split()[1])

    return send


def cpu_seconds_of(process: int) -> float:
    """Return the CPU time that a process has used, or nan on systems other than Linux."""
    stat = Path(f"/proc/{process}/stat")
    times = stat.read_text().rpartition(")")[2].split()[11:13] if stat.exists() else ["nan"]
    return sum(map(float, times)) / os.sysconf("SC_CLK_TCK")


async def measure(
    operation: Operation, sends: list[Send], seconds: float, process: int
) -> dict[str, float]:
    done = 0

    async def repeat(send: Send) -> None:
        nonlocal done
        while time.perf_counter() < end:
            assert (status := await send()) < 300, (
                f"{operation.method} {operation.path} answered {status}"
            )
            done += 1

    for send in sends:
        await send()
    cpu, start = cpu_seconds_of(process), time.perf_counter()
    end = start + seconds
    await asyncio.gather(*map(repeat, sends))
    return {
        "requests/s": round(done / (time.perf_counter() - start), 1),
        "CPU ms": round(1000 * (cpu_seconds_of(process) - cpu) / done, 3),
    }


async def measure_all(
    database_url: str, seconds: float, user: User
) -> dict[str, list[dict[str, float]]]:
    token, results = create_token(user.id, user.token_version), {}
    with running_server(database_url) as server:
        for operation in OPERATIONS:
            connections = [await connect(server.url, operation, token) for _ in range(CONNECTIONS)]
            alone = await measure(operation, [call_app(operation, token)], seconds, os.getpid())
            served = await measure(operation, connections, seconds, server.process.pid)
            figures = [*alone.values(), *served.values()]
            print(
                f"{operation.method:6}{operation.path:16}"
                + "{:14,.0f}{:10.2f}{:18,.0f}{:10.2f}".format(*figures),
                flush=True,
            )
            results[f"{operation.method} {operation.path}"] = [alone, served]
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.tools.benchmark", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=2, help="for each figure (%(default)s)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures to this file, too"
    )
    options = parser.parse_args()

    info = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    machine = {
        "host": platform.node(),
        "CPU": f"{os.cpu_count()} x {(models or [platform.machine()])[0]}",
        "Python": platform.python_version(),
        **{package: version(package) for package in ("fastapi", "sqlmodel", "uvicorn")},
    }
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print(
        f"{'':22}{'in process':>14}{'CPU ms':>10}{f'{CONNECTIONS} connections':>18}{'CPU ms':>10}"
    )
    with (
        TemporaryDirectory() as directory,
        new_database(Path(directory)) as database_url,
        new_engine(database_url) as engine,
        used_by_app_and_factories(engine),
    ):
        SQLModel.metadata.create_all(engine)
        user = UserFactory.create(username="somebody", admin=True)
        UserFactory.create_batch(ROWS)
        PostFactory.create_batch(ROWS, author=user)
        results = asyncio.run(measure_all(database_url, options.seconds, user))
    if options.json:
        options.json.write_text(
            json.dumps({"machine": machine, "operations": results}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
