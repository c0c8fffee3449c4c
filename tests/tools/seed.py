"""Fill the development database with rows of all factories: `uv run python -m tests.tools.seed`."""

import argparse

from sqlalchemy import Engine
from sqlmodel import Session, func, select

from app import database
from app.models import User
from tests.databases import used_by_app_and_factories
from tests.factories import PASSWORD, RowFactory, UserFactory


def main(engine: Engine, arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.seed", description=__doc__)
    parser.add_argument("--rows", type=int, default=20, help="how many each factory makes")
    parser.add_argument("--any-database", action="store_true", help="not only SQLite")
    options = parser.parse_args(arguments)
    if engine.dialect.name != "sqlite" and not options.any_database:
        parser.error(
            f"{engine.url!r} is not SQLite and may not be a development database;"
            " if it is one, add --any-database"
        )

    with used_by_app_and_factories(engine):
        with Session(engine) as session:
            last_id = session.exec(select(func.max(User.id))).one() or 0
        # Earlier runs have taken the names with lower numbers.
        UserFactory.reset_sequence(last_id + 1)  # type: ignore[no-untyped-call]  # It has no types.
        user = UserFactory.create(is_admin=last_id == 0)
        for factory in RowFactory.__subclasses__():
            factory.create_batch(options.rows)
    print(f"Log in as {user.username} with the password: {PASSWORD}")


if __name__ == "__main__":
    database.upgrade_database()
    main(database.engine)
