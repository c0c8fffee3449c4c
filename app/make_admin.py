"""`python -m app.make_admin USERNAME` makes a user an admin."""

import sys
from argparse import ArgumentParser

from sqlmodel import Session, select

from app.database import engine, upgrade_database
from app.models import User


def make_admin(username: str) -> str:
    """Say what was done, or exit with status 1 if there is no such user."""
    upgrade_database()
    with Session(engine) as session:
        user = session.exec(select(User).where(User.username_equals(username))).one_or_none()
        if user is None:
            sys.exit(f"User not found: {username}")
        user.is_admin = True
        session.commit()
        return f"{user.username} is an admin now."


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("username")
    print(make_admin(parser.parse_args().username))
