"""Who asks, for which row, and whether they may: every 401, 403, 404 and 429 is raised here.

An alias such as EditablePost is the policy of the endpoint that names it.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from os import cpu_count
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Form, HTTPException, Query, Request, Response, status
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel
from sqlalchemy import ColumnElement, inspect
from sqlalchemy import select as select_columns
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import Session, select

from app.database import Queue, SessionDep, lock_database, read
from app.models import MAX_ID, Id, LoginForm, PasswordUpdate, Post, Row, User
from app.security import (
    Claims,
    InvalidToken,
    hash_password,
    login_throttle,
    needs_rehash,
    read_token,
    verify_password,
)

turns = Queue("turns at hashing", cpu_count() or 1)


async def take_turn_at_hashing() -> AsyncIterator[None]:
    """Let as many requests hash as there are cores; who waits for a turn holds no place at the database."""
    turn = await turns.enter()
    try:
        yield
    finally:
        turn.release()


HashingTurn = Depends(take_turn_at_hashing, scope="function")


class Unauthorized(HTTPException):
    def __init__(self, detail: str = "Could not validate credentials") -> None:
        super().__init__(status.HTTP_401_UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})


def check_password(request: Request, username: str, password: str, user: User | None, refusal: HTTPException) -> None:
    """Verify a password once, whoever the user, or not at all after too many failures from this address."""
    who = (request.client.host if request.client else "", username.lower())
    if seconds := login_throttle.seconds_to_wait(*who):
        raise HTTPException(status.HTTP_429_TOO_MANY_REQUESTS, "Too many failed logins", {"Retry-After": str(seconds)})
    if not verify_password(password, user.hashed_password if user else None):
        login_throttle.count_failure(*who)
        raise refusal


def get_login_user(form: Annotated[LoginForm, Form()], request: Request, session: SessionDep) -> User:
    user = session.exec(select(User).where(User.is_named(form.username))).one_or_none()
    session.commit()  # Hashing takes its time, and nobody else should wait for this connection meanwhile.
    refusal = Unauthorized("Incorrect username or password")
    check_password(request, form.username, form.password, user, refusal)
    assert user is not None  # Without a user, the password was not verified.
    if needs_rehash(user.hashed_password):
        try:
            user.store_hash(session, hash_password(form.password), user.token_version)
        except StaleDataError as error:
            raise refusal from error
    return user


LoginUser = Annotated[User, Depends(get_login_user)]


async def get_claims(token: Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="auth/token"))]) -> Claims:
    try:
        return read_token(token)
    except InvalidToken as error:
        raise Unauthorized from error


TokenClaims = Annotated[Claims, Depends(get_claims)]


async def get_current_user(claims: TokenClaims, session: SessionDep) -> User:
    user = await read(session, lambda: session.get(User, claims.sub))
    if user is None or user.token_version != claims.version:
        raise Unauthorized
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


async def get_admin_user(user: CurrentUser) -> User:
    if not user.is_admin:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Admin access required")
    return user


AdminUser = Annotated[User, Depends(get_admin_user)]


def confirm_password(
    password_in: PasswordUpdate, user: CurrentUser, request: Request, session: SessionDep
) -> PasswordUpdate:
    session.commit()
    refusal = HTTPException(status.HTTP_403_FORBIDDEN, "Current password is incorrect")
    check_password(request, user.username, password_in.current_password, user, refusal)
    return password_in


ConfirmedPassword = Annotated[PasswordUpdate, Depends(confirm_password)]


async def get_requested_user(user_id: Id, session: SessionDep) -> User:
    user = await read(session, lambda: session.get(User, user_id))
    if user is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "User not found")
    return user


RequestedUser = Annotated[User, Depends(get_requested_user)]


async def get_requested_post(post_id: Id, session: SessionDep) -> Post:
    post = await read(session, lambda: session.get(Post, post_id))
    if post is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "Post not found")
    return post


RequestedPost = Annotated[Post, Depends(get_requested_post)]


def post_to(action: str) -> Callable[[User, Post], Coroutine[None, None, Post]]:
    async def get_own_post(user: CurrentUser, post: RequestedPost) -> Post:
        if not post.may_be_changed_by(user):
            raise HTTPException(status.HTTP_403_FORBIDDEN, f"Only the owner or an admin can {action} this post")
        return post

    return get_own_post


EditablePost = Annotated[Post, Depends(post_to("update"))]
DeletablePost = Annotated[Post, Depends(post_to("delete"))]


def require_another_admin(user: User, session: Session) -> None:
    """Refuse to take an admin away unless another one remains, with the database locked until the commit."""
    lock_database(session)
    if user.is_last_admin(session):
        raise HTTPException(status.HTTP_409_CONFLICT, "The last admin cannot be removed")


def commit_user(session: Session) -> None:
    """Commit a new or changed user, whose name and e-mail the database keeps unique."""
    try:
        session.commit()
    except IntegrityError as error:
        raise HTTPException(status.HTTP_409_CONFLICT, "Username or email already exists") from error


@dataclass
class Page:
    """One page of a list by key: the rows behind the last one of the page before, however many come and go."""

    request: Request
    response: Response
    limit: int
    after: int | None

    async def read(
        self,
        session: Session,
        model: type[Row],
        public: type[BaseModel],
        *where: ColumnElement[bool],
        newest: bool = False,
    ) -> list[dict[str, object]]:
        """Read the rows, and where more follow, name the next page in a Link header (RFC 8288).

        The public columns instead of objects: that makes a list of 50 a third faster.
        """
        columns = inspect(model).local_table.c
        key = columns.id
        statement = select_columns(*(columns[name] for name in public.model_fields)).where(*where)
        if self.after is not None:
            statement = statement.where(key < self.after if newest else key > self.after)
        statement = statement.order_by(key.desc() if newest else key).limit(self.limit + 1)
        rows = await read(session, lambda: session.execute(statement).all())
        if len(rows) > self.limit:
            rows = rows[: self.limit]
            path = self.request.scope["root_path"].rstrip("/") + self.request.scope["route"].path
            query = urlencode({**self.request.query_params, "after": rows[-1].id})
            self.response.headers["Link"] = f'<{path}?{query}>; rel="next"'
        return [dict(zip(public.model_fields, row, strict=True)) for row in rows]


async def get_page(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=100, description="How many rows to answer at most.")] = 50,
    after: Annotated[int | None, Query(ge=0, le=MAX_ID, description="The last id of the page before.")] = None,
) -> Page:
    return Page(request, response, limit, after)


PageDep = Annotated[Page, Depends(get_page)]
