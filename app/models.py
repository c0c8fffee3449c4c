"""The tables, and the schemas of requests and responses beside them.

A Base holds what everyone may send and see. Privileges and hashes stand on the table alone. What a schema
refuses is written as length and pattern, so that whatever `openapi.json` allows is accepted.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import MISSING, AfterValidator, BaseModel, EmailStr, StrictBool, StringConstraints
from pydantic import Field as Constraint
from sqlalchemy import BigInteger, ColumnElement, Index, Integer, func
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import Field, Session, SQLModel, col, delete, select, update

MAX_ID = 2**63 - 1
# SQLite numbers rows by itself only where the type is exactly INTEGER, which there has 64 bits.
BIG_INTEGER = BigInteger().with_variant(Integer(), "sqlite")

# C0, DEL and C1 (ISO/IEC 6429), for use within [^...]; the second leaves out tab, line feed and carriage return.
CONTROLS = r"\x00-\x1f\x7f-\x9f"
CONTROLS_IN_TEXT = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"


def text(minimum: int, maximum: int, pattern: str, *, strip: bool = False) -> StringConstraints:
    return StringConstraints(min_length=minimum, max_length=maximum, pattern=pattern, strip_whitespace=strip)


Id = Annotated[int, Constraint(ge=1, le=MAX_ID)]
Username = Annotated[str, text(1, 50, r"^[A-Za-z0-9._-]+$"), Constraint(examples=["alice"])]
Email = Annotated[EmailStr, AfterValidator(str.lower), Constraint(max_length=120, examples=["alice@example.com"])]
EXAMPLE_PASSWORD = Constraint(examples=["correct horse battery staple"])
Password = Annotated[str, text(0, 128, rf"^[^{CONTROLS}]*$"), EXAMPLE_PASSWORD]
NewPassword = Annotated[str, text(8, 128, rf"^[^{CONTROLS}]*$"), EXAMPLE_PASSWORD]
# White space around them is stripped first: what is left must begin with something else.
Title = Annotated[
    str, text(1, 100, rf"^\s*[^\s{CONTROLS}][^{CONTROLS}]*\s*$", strip=True), Constraint(examples=["Hello"])
]
Content = Annotated[
    str,
    text(1, 50_000, rf"^\s*[^\s{CONTROLS}][^{CONTROLS_IN_TEXT}]*$", strip=True),
    Constraint(examples=["My first post."]),
]


class Row(SQLModel):
    """What the tables share: an id that is never given to another row, and a deletion that tells if it came late."""

    id: int = Field(default=None, primary_key=True, sa_type=BIG_INTEGER)

    def delete(self, session: Session) -> None:
        """Delete and commit. Raises StaleDataError where another request has deleted the row already."""
        deleted = session.exec(delete(type(self)).where(col(type(self).id) == self.id))
        session.commit()
        if deleted.rowcount == 0:
            raise StaleDataError


class UserBase(SQLModel):
    username: Username
    email: Email


class UserCreate(UserBase, extra="forbid"):
    password: NewPassword


class UserUpdate(SQLModel, extra="forbid"):
    username: Username | MISSING = MISSING
    email: Email | MISSING = MISSING


class UserAdminUpdate(SQLModel, extra="forbid"):
    is_admin: StrictBool | MISSING = MISSING


class PasswordUpdate(SQLModel, extra="forbid"):
    current_password: Password
    new_password: NewPassword


class LoginForm(SQLModel):
    """The password form of OAuth2. Other fields are ignored, as RFC 6749, section 3.2, demands."""

    grant_type: Annotated[str, Constraint(pattern="^password$")] = "password"
    username: Username
    password: Password


class UserPublic(BaseModel, from_attributes=True):
    """Plain types: rows were checked on the way in, and checking an address once more costs more than reading it."""

    id: int
    username: str
    email: str
    is_admin: bool


class User(UserBase, Row, table=True):
    __tablename__ = "users"
    __table_args__ = ({"sqlite_autoincrement": True},)

    email: Email = Field(unique=True)
    hashed_password: str
    is_admin: bool = Field(default=False, index=True)
    token_version: int = 0

    @classmethod
    def is_named(cls, username: str) -> ColumnElement[bool]:
        """Match the user of this name, whatever the case of its letters."""
        return func.lower(col(cls.username)) == func.lower(username)

    @classmethod
    def exists(cls, session: Session) -> bool:
        return session.exec(select(cls.id).limit(1)).first() is not None

    def is_last_admin(self, session: Session) -> bool:
        """Ask the database, not this object, which may have been read before the lock."""
        return session.exec(select(User.id).where(User.is_admin).limit(2)).all() == [self.id]

    def store_hash(self, session: Session, hashed_password: str, token_version: int) -> None:
        """Store a hash and commit. Raises StaleDataError where the password is no longer the one that was read."""
        unchanged = (col(User.id) == self.id, col(User.token_version) == self.token_version)
        values = {"hashed_password": hashed_password, "token_version": token_version}
        stored = session.exec(update(User).where(*unchanged).values(values))
        session.commit()
        if stored.rowcount == 0:
            raise StaleDataError


Index("ix_users_username", func.lower(col(User.username)), unique=True)


class PostBase(SQLModel):
    title: Title
    content: Content


class PostCreate(PostBase, extra="forbid"):
    pass


class PostUpdate(SQLModel, extra="forbid"):
    title: Title | MISSING = MISSING
    content: Content | MISSING = MISSING


class PostPublic(BaseModel, from_attributes=True):
    id: int
    title: str
    content: str
    user_id: int
    date_posted: datetime


class Post(PostBase, Row, table=True):
    __tablename__ = "posts"
    __table_args__ = (Index("ix_posts_user_id_id", "user_id", "id"), {"sqlite_autoincrement": True})

    user_id: int = Field(foreign_key="users.id", ondelete="CASCADE", sa_type=BIG_INTEGER)
    date_posted: datetime = Field(default_factory=lambda: datetime.now(UTC))

    def may_be_changed_by(self, user: User) -> bool:
        return user.is_admin or user.id == self.user_id


class Token(SQLModel):
    access_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int


class Greeting(SQLModel):
    message: Literal["FastAPI testing example"] = "FastAPI testing example"


class Health(SQLModel):
    status: Literal["ok"] = "ok"
