"""`python -m app.make_admin USERNAME` makes a user an admin."""

import os
import sys

from sqlmodel import Session, select

# The settings need a SECRET_KEY, which this command doesn't use. In development, they make one.
os.environ.setdefault("FASTAPI_ENV", "development")

from app.database import engine, upgrade_database
from app.models import User


def make_admin(username: str) -> str:
    """Return what was done. Exits with status 1 if there is no such user."""
    upgrade_database()
    with Session(engine) as session:
        user = session.exec(select(User).where(User.username_equals(username))).one_or_none()
        if user is None:
            sys.exit(f"User not found: {username}")
        user.is_admin = True
        session.commit()
        return f"{user.username} is an admin now."


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(make_admin(sys.argv[1]))
