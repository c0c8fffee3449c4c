"""Fill the development database: `uv run python -m tests.tools.seed --users 20 --posts 200`."""

import argparse
import re
import sys
from collections.abc import Iterator
from itertools import chain

from sqlalchemy import Engine
from sqlmodel import Session, select

from app import database
from app.models import User
from tests.factories import PASSWORD, PostFactory, UserFactory, factory_session


def count_to(total: int, what: str) -> Iterator[int]:
    """Count from 0, and show how far it got."""
    for number in range(total):
        yield number
        print(f"\r{what}: {number + 1} of {total}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def first_free_number(session: Session) -> int:
    """Return a number n such that no username or email starts with "user" and n, or a higher one.

    Earlier runs, and people, may have taken some.
    """
    names = "\n".join(chain(*session.exec(select(User.username, User.email))))
    taken = re.findall(r"^user(\d+)", names, re.IGNORECASE | re.MULTILINE)
    return max(map(int, taken), default=0) + 1


def main(engine: Engine, arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.seed", description=__doc__)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--posts", type=int, default=200)
    parser.add_argument("--any-database", action="store_true", help="not only SQLite")
    options = parser.parse_args(arguments)
    if options.users < 1:
        parser.error("posts need at least one user to write them")
    if engine.dialect.name != "sqlite" and not options.any_database:
        parser.error(
            f"{engine.url!r} is not SQLite and may not be a development database;"
            " if it is one, add --any-database"
        )

    factory_session.remove()
    factory_session.configure(bind=engine)
    with Session(engine) as session:
        first = first_free_number(session)
        is_empty = session.exec(select(User.id).limit(1)).first() is None
    users = [
        UserFactory.create(__sequence=first + n, is_admin=is_empty and n == 0)
        for n in count_to(options.users, "users")
    ]
    for n in count_to(options.posts, "posts"):
        PostFactory.create(author=users[n % len(users)])
    print(f"Log in as {users[0].username} with the password: {PASSWORD}")


if __name__ == "__main__":
    database.upgrade_database()
    main(database.engine)
