"""Who asks, for which row, and whether they may: every 401, 403, 404 and 429 is raised here.

An alias such as EditablePost is the policy of the endpoint that names it.
"""

from collections.abc import Callable, Coroutine
from os import cpu_count
from typing import Annotated, TypeVar
from urllib.parse import urlencode

from fastapi import Depends, Form, HTTPException, Path, Query, Request, Response, status
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel
from sqlalchemy import ColumnElement, bindparam, inspect
from sqlalchemy import select as select_columns
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import Session, col, select

from app.database import POOL_SIZE, SessionDep, lock_database, queue, read
from app.models import MAX_ID, Id, LoginForm, PasswordUpdate, Post, Row, User
from app.security import Claims, hash_password, login_throttle, needs_rehash, read_token, verify_password

AnyRow = TypeVar("AnyRow", bound=Row)
PageReader = Callable[..., Coroutine[None, None, list[dict[str, object]]]]

# Built once, it spares each request with a token a tenth of its time.
USER_BY_ID = select(User).where(col(User.id) == bindparam("id"))

# Who waits for a turn at hashing holds no place at the database: the turn is taken first. Who hashes holds one.
HashingTurn = Depends(queue(min(cpu_count() or 1, POOL_SIZE - 2)), scope="function")


class Unauthorized(HTTPException):
    def __init__(self, detail: str = "Could not validate credentials") -> None:
        super().__init__(status.HTTP_401_UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})


async def get_claims(token: Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="auth/token"))]) -> Claims:
    claims = read_token(token)
    if claims is None:
        raise Unauthorized
    return claims


async def get_current_user(claims: Annotated[Claims, Depends(get_claims)], session: SessionDep) -> User:
    user = await read(session, lambda: session.exec(USER_BY_ID, params={"id": claims.sub}).one_or_none())
    if user is None or user.token_version != claims.version:
        raise Unauthorized
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


async def get_admin_user(user: CurrentUser) -> User:
    if not user.is_admin:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Admin access required")
    return user


AdminUser = Annotated[User, Depends(get_admin_user)]


def check_password(request: Request, username: str, password: str, user: User | None, refusal: HTTPException) -> None:
    """Verify a password once, whoever the user, or not at all after too many failures from this address."""
    who = (request.client.host if request.client else "", username.lower())
    if seconds := login_throttle.seconds_to_wait(*who):
        retry = {"Retry-After": str(seconds)}
        raise HTTPException(status.HTTP_429_TOO_MANY_REQUESTS, "Too many failed logins", retry)
    if not verify_password(password, user.hashed_password if user else None):
        login_throttle.count_failure(*who)
        raise refusal


def confirm_password(password_in: PasswordUpdate, user: CurrentUser, request: Request) -> PasswordUpdate:
    refusal = HTTPException(status.HTTP_403_FORBIDDEN, "Current password is incorrect")
    check_password(request, user.username, password_in.current_password, user, refusal)
    return password_in


ConfirmedPassword = Annotated[PasswordUpdate, Depends(confirm_password)]


def get_login_user(form: Annotated[LoginForm, Form()], request: Request, session: SessionDep) -> User:
    user = session.exec(select(User).where(User.is_named(form.username))).one_or_none()
    session.commit()  # Hashing takes its time, and this connection should serve others meanwhile.
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


def requested(table: type[AnyRow], name: str) -> Callable[[int, Session], Coroutine[None, None, AnyRow]]:
    async def get_row(row_id: Annotated[Id, Path(alias=name)], session: SessionDep) -> AnyRow:
        row = await read(session, lambda: session.get(table, row_id))
        if row is None:
            raise HTTPException(status.HTTP_404_NOT_FOUND, f"{table.__name__} not found")
        return row

    return get_row


RequestedUser = Annotated[User, Depends(requested(User, "user_id"))]
RequestedPost = Annotated[Post, Depends(requested(Post, "post_id"))]


def post_to(action: str) -> Callable[[User, Post], Coroutine[None, None, Post]]:
    async def get_own_post(user: CurrentUser, post: RequestedPost) -> Post:
        if not post.may_be_changed_by(user):
            raise HTTPException(status.HTTP_403_FORBIDDEN, f"Only the owner or an admin can {action} this post")
        return post

    return get_own_post


EditablePost = Annotated[Post, Depends(post_to("update"))]
DeletablePost = Annotated[Post, Depends(post_to("delete"))]


def keep_an_admin(user: User, session: Session) -> None:
    """Refuse to take the last admin away. The database stays locked until the commit, so that nobody else does."""
    lock_database(session)
    if user.is_last_admin(session):
        raise HTTPException(status.HTTP_409_CONFLICT, "The last admin cannot be removed")


def commit_user(session: Session) -> None:
    """Commit a user, whose name and e-mail address the database keeps unique."""
    try:
        session.commit()
    except IntegrityError as error:
        raise HTTPException(status.HTTP_409_CONFLICT, "Username or email already exists") from error


async def get_page_reader(
    request: Request,
    response: Response,
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=100, description="How many rows to answer at most.")] = 50,
    after: Annotated[int | None, Query(ge=0, le=MAX_ID, description="The last id of the page before.")] = None,
) -> PageReader:
    """Read a page of a list by key: the rows behind the last one of the page before, whatever comes and goes."""

    async def read_page(
        table: type[Row], public: type[BaseModel], *where: ColumnElement[bool], newest: bool = False
    ) -> list[dict[str, object]]:
        # Columns, and dictionaries of them, instead of objects: a page of 50 takes two thirds of the time.
        columns = inspect(table).local_table.c
        statement = select_columns(*(columns[name] for name in public.model_fields)).where(*where)
        if after is not None:
            statement = statement.where(columns.id < after if newest else columns.id > after)
        statement = statement.order_by(columns.id.desc() if newest else columns.id).limit(limit + 1)
        rows = await read(session, lambda: session.execute(statement).all())
        page = [dict(zip(public.model_fields, row, strict=True)) for row in rows[:limit]]
        if len(rows) > limit:
            path = request.scope.get("root_path", "").rstrip("/") + request.scope["route"].path
            query = urlencode({**request.query_params, "after": page[-1]["id"]})
            response.headers["Link"] = f'<{path}?{query}>; rel="next"'  # RFC 8288
        return page

    return read_page


ReadPage = Annotated[PageReader, Depends(get_page_reader)]
