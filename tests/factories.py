"""Rows for tests and for the development database; `create` returns them committed."""

from functools import cache
from typing import Any

from factory import LazyFunction, SelfAttribute, Sequence, SubFactory, Trait
from factory.alchemy import SQLAlchemyModelFactory
from sqlalchemy.orm import scoped_session, sessionmaker
from sqlmodel import Session

from app.models import Post, User
from app.security import hash_password

# The password of every user that a factory makes.
PASSWORD = "correct horse battery staple"

# Not the session of a request: a test must not see rows that the app has never committed.
factory_session = scoped_session(sessionmaker(class_=Session, expire_on_commit=False))


@cache
def hashed_password() -> str:
    """Hash once per run, with the parameters in force."""
    return hash_password(PASSWORD)


class RowFactory(SQLAlchemyModelFactory):
    class Meta:
        abstract = True
        sqlalchemy_session = factory_session
        # All sessions may share one connection, and rows that are only flushed go when another session closes.
        sqlalchemy_session_persistence = "commit"

    @classmethod
    def _adjust_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        """Refuse what is no column: tables of SQLModel take any keyword in silence."""
        if unknown := kwargs.keys() - {*cls._meta.model.model_fields, *cls._meta.parameters}:
            raise TypeError(f"{cls.__name__} knows no {', '.join(sorted(unknown))}")
        return kwargs


class UserFactory(RowFactory):
    class Meta:
        model = User

    class Params:
        admin = Trait(is_admin=True)

    username = Sequence(lambda n: f"user{n}")
    # A reserved ending such as .test would be refused where an answer is validated.
    email = Sequence(lambda n: f"user{n}@example.com")
    hashed_password = LazyFunction(hashed_password)


class PostFactory(RowFactory):
    class Meta:
        model = Post

    class Params:
        author = SubFactory(UserFactory)

    title = Sequence(lambda n: f"Post {n}")
    content = "Some content."
    user_id = SelfAttribute("author.id")
