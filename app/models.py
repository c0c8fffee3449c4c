"""The tables, and beside them the schemas of requests and responses.

A Base holds what everyone may send and see; privileges and hashes stand on the table alone. What is refused is
refused by length and pattern, so that whatever `openapi.json` allows is accepted.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self, cast

from annotated_types import Interval, MinLen
from pydantic import MISSING, AfterValidator, BaseModel, StrictBool, StringConstraints, validate_email
from pydantic import Field as Example
from sqlalchemy import BigInteger, ColumnElement, Index, Integer, UpdateBase, func
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import Field, Session, SQLModel, col, delete, select, update

MAX_ID = 2**63 - 1
# SQLite numbers rows by itself only where the type is exactly INTEGER, which there has 64 bits.
BIG_INTEGER = BigInteger().with_variant(Integer(), "sqlite")
# C0, DEL and C1 (ISO/IEC 6429), to stand within [^...]; the second leaves out tab, line feed and carriage return.
CONTROLS = r"\x00-\x1f\x7f-\x9f"
CONTROLS_IN_TEXT = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"


def text(minimum: int, maximum: int, pattern: str) -> StringConstraints:
    return StringConstraints(min_length=minimum, max_length=maximum, pattern=pattern)


Id = Annotated[int, Interval(ge=1, le=MAX_ID)]
Username = Annotated[str, text(1, 50, r"^[A-Za-z0-9._-]+$"), Example(examples=["alice"])]
# Not EmailStr: that would also take "Alice <alice@example.com>", with anything for a name.
ADDRESS = (text(3, 120, rf"^[^\s<>{CONTROLS}]+$"), AfterValidator(lambda value: validate_email(value)[1].lower()))
Email = Annotated[str, *ADDRESS, Example(examples=["alice@example.com"], json_schema_extra={"format": "email"})]
Password = Annotated[str, text(0, 128, rf"^[^{CONTROLS}]*$"), Example(examples=["correct horse battery staple"])]
NewPassword = Annotated[Password, MinLen(8)]
# Between the white space that is stripped stands at least one other character.
TITLE = text(1, 100, rf"^\s*[^\s{CONTROLS}][^{CONTROLS}]*\s*$")
CONTENT = text(1, 50_000, rf"^\s*[^\s{CONTROLS}][^{CONTROLS_IN_TEXT}]*$")
Title = Annotated[str, TITLE, AfterValidator(str.strip), Example(examples=["Hello"])]
Content = Annotated[str, CONTENT, AfterValidator(str.strip), Example(examples=["My first post."])]


def execute(session: Session, statement: UpdateBase) -> None:
    """Execute and commit. Raises StaleDataError where another request has changed or deleted the row already."""
    changed = session.exec(statement)
    session.commit()
    if changed.rowcount == 0:
        raise StaleDataError


class Row(SQLModel):
    id: int = Field(default=None, primary_key=True, sa_type=BIG_INTEGER)

    def delete(self, session: Session) -> None:
        execute(session, delete(type(self)).where(col(type(self).id) == self.id))


class RequestBody(SQLModel):
    model_config = {"extra": "forbid"}

    def __new__(cls, /, *_: object, **__: object) -> Self:
        """Bear an unknown field named `cls`, which SQLModel's own would take for its argument."""
        return cast(Self, super().__new__(cls))


class UserBase(SQLModel):
    username: Username
    email: Email


class UserCreate(UserBase, RequestBody):
    password: NewPassword


class UserUpdate(RequestBody):
    username: Username | MISSING = MISSING
    email: Email | MISSING = MISSING


class UserAdminUpdate(RequestBody):
    is_admin: StrictBool | MISSING = MISSING


class PasswordUpdate(RequestBody):
    current_password: Password
    new_password: NewPassword


class LoginForm(BaseModel):
    """The password form of OAuth2. Other fields are ignored, as RFC 6749, section 3.2, demands."""

    grant_type: Literal["password"] = "password"
    username: Username
    password: Password


class UserPublic(BaseModel):
    id: int
    username: str
    email: str  # It was checked on the way in; checking once more costs more than reading the row.
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
        execute(session, update(User).where(*unchanged).values(values))


Index("ix_users_username", func.lower(col(User.username)), unique=True)


class PostBase(SQLModel):
    title: Title
    content: Content


class PostCreate(PostBase, RequestBody):
    pass


class PostUpdate(RequestBody):
    title: Title | MISSING = MISSING
    content: Content | MISSING = MISSING


class PostPublic(BaseModel):
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


class Token(BaseModel):
    access_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int
