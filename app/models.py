"""The tables, and the models of request and response bodies.

Each resource has a Base (what Public and the table share), Create and Update (what clients send,
with the rules for it), Public (what they receive) and, last, the table. UserCreate and UserUpdate
have no `is_admin`, so users can't give themselves admin rights.
"""

import secrets
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, EmailStr, JsonValue, StrictBool, StringConstraints
from sqlalchemy import BigInteger, ColumnElement, Index, Integer, String, func
from sqlmodel import Field, Relationship, SQLModel, col

MAX_ID = 2**63 - 1
# SQLite only makes ids by itself if the type is exactly INTEGER, which has 64 bits there.
BIG_INTEGER = BigInteger().with_variant(Integer(), "sqlite")
# With a Turkish collation, the lower case of I isn't i, so use one that only knows ASCII.
ASCII_TEXT = String().with_variant(String(collation="C"), "postgresql")


def new_token_version() -> int:
    """Return a random number. A counter could repeat an old one after a backup was restored."""
    return secrets.randbelow(2**31)


def text_rules(min_length: int, max_length: int, pattern: str) -> StringConstraints:
    """Limit a string. OpenAPI shows these rules to clients."""
    return StringConstraints(min_length=min_length, max_length=max_length, pattern=pattern)


CONTROLS = r"\x00-\x1f\x7f-\x9f"  # The control characters of ISO/IEC 6429, for use in [^...].
LINE = f"[^{CONTROLS}]*"
LINES = r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*"  # With tabs and line breaks (09, 0a, 0d).
# White space around a text is stripped, so one character has to be something else.
NOT_BLANK = rf"[^\s{CONTROLS}]"
CONTENT = f"^{LINES}{NOT_BLANK}{LINES}$"
Id = Annotated[int, Field(ge=1, le=MAX_ID)]
Username = Annotated[str, text_rules(1, 50, r"^[A-Za-z0-9._-]+$")]
# Check the length last: in lower case, an address can be longer.
Email = Annotated[EmailStr, AfterValidator(str.lower), Field(max_length=120)]
Password = Annotated[str, text_rules(1, 128, f"^{LINE}$")]
NewPassword = Annotated[str, text_rules(8, 128, f"^{LINE}$")]
Title = Annotated[str, text_rules(1, 100, f"^{LINE}{NOT_BLANK}{LINE}$"), AfterValidator(str.strip)]
Content = Annotated[str, text_rules(1, 50_000, CONTENT), AfterValidator(str.strip)]


def example(**fields: JsonValue) -> Any:  # The type of `model_config` is private in SQLModel.
    """Make a `model_config` that shows an example in the docs."""
    return {"json_schema_extra": {"example": fields}}


class RequestModel(SQLModel):
    # A JSON body, a form or query parameters. It refuses unknown fields. A subclass adds its own
    # `model_config` to this one.
    model_config = {"extra": "forbid"}
    # SQLModel's own `__new__` and `__init__` have arguments called `cls` and `__pydantic_self__`,
    # so without this, sending such a field causes a 500.
    __init__ = BaseModel.__init__


class TableBase(SQLModel):
    # Without this, SQLite can give a deleted row's id to a new one, which old links then find.
    __table_args__ = {"sqlite_autoincrement": True}
    # Deleting a row that another request has just deleted isn't an error, so don't warn.
    __mapper_args__ = {"confirm_deleted_rows": False}
    # It is only None until the row is saved, so the type is `int` and not `int | None`.
    id: int = Field(default=None, primary_key=True, sa_type=BIG_INTEGER)


class UserBase(SQLModel):
    username: str = Field(sa_type=ASCII_TEXT)
    email: str = Field(unique=True)


class UserCreate(RequestModel):
    model_config = example(
        username="alice", email="alice@example.com", password="correct horse battery staple"
    )
    username: Username
    email: Email
    password: NewPassword


class UserUpdate(RequestModel):
    model_config = example(email="alice@example.com")
    # A field can be left out. With `Username | None`, it could also be null.
    username: Username = Field(default=None)
    email: Email = Field(default=None)


class UserAdminUpdate(RequestModel):
    model_config = example(is_admin=True)
    is_admin: StrictBool = Field(default=None)


class PasswordUpdate(RequestModel):
    model_config = example(
        current_password="correct horse battery staple",
        new_password="incorrect zebra battery staple",
    )
    current_password: Password
    new_password: NewPassword


class UserPublic(UserBase):
    model_config = example(id=5, username="alice", email="alice@example.com", is_admin=False)
    id: int
    is_admin: bool


class User(UserBase, TableBase, table=True):
    __tablename__ = "users"

    hashed_password: str
    is_admin: bool = Field(default=False, index=True)
    # Tokens hold this number too, so changing it makes all of them invalid.
    token_version: int = Field(default_factory=new_token_version)
    # The database deletes the posts of a deleted user, so SQLAlchemy doesn't have to read them.
    posts: list["Post"] = Relationship(back_populates="author", passive_deletes="all")

    @classmethod
    def username_equals(cls, username: str) -> ColumnElement[bool]:
        """Return a condition for `where` that ignores case."""
        return func.lower(col(cls.username)) == username.lower()


# Usernames are unique regardless of case. (Emails are stored in lower case.)
Index("ix_users_username", func.lower(col(User.username)), unique=True)


class LoginForm(RequestModel):
    # The password form of OAuth2. FastAPI's own OAuth2PasswordRequestForm has no limits.
    # RFC 6749, section 3.2: unknown fields have to be ignored.
    model_config = {"extra": "ignore"} | example(
        username="alice", password="correct horse battery staple"
    )
    grant_type: Literal["password"] = "password"
    username: Username
    password: Password


class Token(SQLModel):
    model_config = example(access_token="eyJhbGciOi...", token_type="bearer", expires_in=1800)
    access_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int = Field(description="Seconds until the token expires.")


class Greeting(SQLModel):
    model_config = example(message="FastAPI testing example")
    message: str


class Health(SQLModel):
    model_config = example(status="ok")
    status: Literal["ok"] = "ok"


class PostBase(SQLModel):
    title: str
    content: str


class PostCreate(RequestModel):
    model_config = example(title="Hello", content="My first post.")
    title: Title
    content: Content


class PostUpdate(RequestModel):
    model_config = example(title="Hello again")
    title: Title = Field(default=None)
    content: Content = Field(default=None)


class PostPublic(PostBase):
    model_config = example(
        id=7, title="Hello", content="My first post.", user_id=5, date_posted="2026-01-31T09:30:00Z"
    )
    id: int
    user_id: int
    date_posted: datetime


class Post(PostBase, TableBase, table=True):
    __tablename__ = "posts"

    user_id: int = Field(foreign_key="users.id", ondelete="CASCADE", sa_type=BIG_INTEGER)
    date_posted: datetime = Field(default_factory=lambda: datetime.now(UTC))
    author: User = Relationship(back_populates="posts")

    def may_be_changed_by(self, user: User) -> bool:
        return user.is_admin or user.id == self.user_id


# For pages of the posts of one user.
Index("ix_posts_user_id_id", col(Post.user_id), col(Post.id))
