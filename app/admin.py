"""`python -m app.admin USERNAME` makes an existing user admin."""

import os
import sys

from sqlmodel import Session, select

# No token is made or read here, so that a missing SECRET_KEY is no reason to refuse.
os.environ.setdefault("FASTAPI_ENV", "development")

from app.database import create_tables, engine
from app.models import User


def make_admin(username: str) -> str:
    """Say what was done. Exits with status 1 where there is no such user."""
    create_tables(engine)
    with Session(engine) as session:
        user = session.exec(select(User).where(User.is_named(username))).one_or_none()
        if user is None:
            sys.exit(f"There is no user named {username}.")
        already, user.is_admin = user.is_admin, True
        session.commit()
        return f"{user.username} is admin{' already' if already else ' now'}."


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(make_admin(sys.argv[1]))
