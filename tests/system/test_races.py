"""What stays true when many requests arrive at once, at two servers that share a database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from httpx import Client
from sqlalchemy import Engine
from sqlmodel import Session, select

from app.models import User
from tests.databases import new_database, new_engine, used_by_app_and_factories
from tests.factories import UserFactory
from tests.system.server import (
    Server,
    bearer,
    registration,
    running_server,
    send_at_once,
    wait_until,
)

Clients = list[Client]


@pytest.fixture
def clients(servers: list[Server]) -> Iterator[Clients]:
    with servers[0].client() as one, servers[1].client() as other:
        yield [one, other]


@pytest.fixture
def engine(servers: list[Server], shared_servers: tuple[Engine, list[Server]]) -> Iterator[Engine]:
    """Override the shared fixture: the database of the two servers."""
    with used_by_app_and_factories(shared_servers[0]):
        yield shared_servers[0]


def test_many_clients_at_once_are_all_served(clients: Clients, user: User) -> None:
    """Each request needs a thread three times, and keeps its database connection meanwhile."""
    update = {"method": "PATCH", "url": "/users/me", "json": {}, "headers": bearer(user)}

    responses = send_at_once(clients[:1], [update] * 100)

    assert [response.status_code for response in responses] == [200] * 100


def test_one_of_many_first_registrants_becomes_admin(clients: Clients, engine: Engine) -> None:
    """techniques/test_queries.py shows the lock that it takes, each time and not by chance."""
    registrations = [registration(f"user{n}") for n in range(4)]

    responses = send_at_once(clients, registrations)

    assert [response.status_code for response in responses] == [201] * 4
    assert [response.json()["is_admin"] for response in responses].count(True) == 1


def test_name_registered_by_many_at_once_goes_to_one(clients: Clients, session: Session) -> None:
    registrations = [
        registration("Alice" if n % 2 else "alice", f"user{n}@example.com") for n in range(12)
    ]

    responses = send_at_once(clients, registrations)

    assert sorted(response.status_code for response in responses) == [201] + [409] * 11
    assert len(session.exec(select(User)).all()) == 1


def test_last_of_the_admins_who_resign_at_once_stays(clients: Clients, session: Session) -> None:
    admins = UserFactory.create_batch(6, admin=True)
    resignations = [
        {"method": "DELETE", "url": "/users/me", "headers": bearer(admin)} for admin in admins
    ]

    responses = send_at_once(clients, resignations)

    assert sorted(response.status_code for response in responses) == [204] * 5 + [409]
    assert len(session.exec(select(User)).all()) == 1


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    acknowledged: list[int] = []

    def register(number: int) -> None:
        response = client.request(**registration(f"user{number}"))
        acknowledged.append(response.json()["id"])

    with new_database(tmp_path) as url:
        with (
            running_server(url) as server,
            server.client() as client,
            ThreadPoolExecutor(8) as threads,
        ):
            for number in range(300):
                threads.submit(register, number)  # Those after the kill fail.
            wait_until(lambda: len(acknowledged) >= 30)

            server.process.kill()

        with new_engine(url) as engine, Session(engine) as session:
            assert set(acknowledged) <= set(session.exec(select(User.id)).all())
    assert len(acknowledged) < 300
