"""Factories that make rows for the tests. `create` returns them committed."""

from functools import cache
from typing import Any

from factory import LazyFunction, Sequence, SubFactory, Trait
from factory.alchemy import SQLAlchemyModelFactory
from sqlalchemy import inspect
from sqlalchemy.orm import scoped_session, sessionmaker
from sqlmodel import Session

from app.models import Post, User
from app.security import hash_password

# The password of every user that a factory makes.
PASSWORD = "correct horse battery staple"

# Not the session of a request: a test must not see rows that the app hasn't committed.
factory_session = scoped_session(sessionmaker(class_=Session, bind=None, expire_on_commit=False))


@cache
def hashed_password() -> str:
    """Hash the password once per run."""
    return hash_password(PASSWORD)


class RowFactory(SQLAlchemyModelFactory):
    class Meta:
        abstract = True
        sqlalchemy_session = factory_session
        # In memory, all sessions share one connection, so closing another session would roll back
        # what isn't committed.
        sqlalchemy_session_persistence = "commit"

    @classmethod
    def _adjust_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        """Refuse unknown keywords, which a table of SQLModel would ignore.

        Refuse `user_id` beside `author`, too: the factory would make another author.
        """
        table = inspect(cls._meta.model)
        for name, relationship in table.relationships.items():
            if name in kwargs and any(
                column.key in kwargs for column in relationship.local_columns
            ):
                raise TypeError(f"Pass {name}=... to {cls.__name__}, not its id")
        known = {*table.attrs.keys(), *cls._meta.parameters}
        unknown = kwargs.keys() - known
        if unknown:
            raise TypeError(f"{cls.__name__} knows no {', '.join(sorted(unknown))}")
        return kwargs


class UserFactory(RowFactory):
    class Meta:
        model = User

    class Params:
        admin = Trait(is_admin=True)

    username = Sequence(lambda n: f"user{n}")
    email = Sequence(lambda n: f"user{n}@example.com")
    hashed_password = LazyFunction(hashed_password)


class PostFactory(RowFactory):
    class Meta:
        model = Post

    author = SubFactory(UserFactory)
    title = Sequence(lambda n: f"Post {n}")
    content = "Some content."
