"""Fill the development database from the factories: `uv run python -m tests.seed --users 20 --posts 200`."""

import argparse
import os
import re
import sys
from collections.abc import Iterator
from itertools import chain

# As under `fastapi dev`: filling a database needs no secret key.
os.environ.setdefault("FASTAPI_ENV", "development")

from sqlalchemy import Engine
from sqlmodel import Session, select

from app.database import create_tables, engine
from app.models import User
from tests.factories import PASSWORD, PostFactory, UserFactory, factory_session


def count_to(total: int, what: str) -> Iterator[int]:
    """Count from 0 and show how far it got."""
    for number in range(total):
        yield number
        print(f"\r{what}: {number + 1} of {total}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def first_free_number(session: Session) -> int:
    """Return a number from which on no `user<number>` is taken, neither by an earlier run nor by a person."""
    names = chain(*session.exec(select(User.username, User.email)))
    taken = [int(number) for name in names for number in re.findall(r"^user(\d+)", name, re.IGNORECASE)]
    return max(taken, default=0) + 1


def main(engine: Engine, arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.seed", description=__doc__)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--posts", type=int, default=200)
    parser.add_argument("--any-database", action="store_true", help="fill a database that is not SQLite, too")
    options = parser.parse_args(arguments)
    if options.users < 1:
        parser.error("posts need at least one user to write them")
    if engine.dialect.name != "sqlite" and not options.any_database:
        parser.error(f"{engine.url!r} is not SQLite and may be no development database; if it is, add --any-database")

    create_tables(engine)
    factory_session.remove()
    factory_session.configure(bind=engine)
    with Session(engine) as session:
        first = first_free_number(session)
        nobody = not User.exists(session)
    users = [
        UserFactory.create(__sequence=first + n, is_admin=nobody and n == 0) for n in count_to(options.users, "users")
    ]
    for n in count_to(options.posts, "posts"):
        PostFactory.create(author=users[n % len(users)])
    print(f"Log in as {users[0].username} with the password: {PASSWORD}")


if __name__ == "__main__":
    main(engine)
