import logging
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from sqlmodel import Session, col, select, update

from app import security, throttle
from app.config import settings
from app.database import SessionDep, lock_users
from app.dependencies import CurrentUser, HashingSlot
from app.docs import document
from app.errors import (
    Conflict,
    IncorrectLogin,
    InvalidToken,
    TooManyFailures,
    UserExists,
    WeakPassword,
)
from app.models import LoginForm, Token, User, UserCreate, UserPublic, new_token_version

logger = logging.getLogger(__name__)

router = APIRouter(
    prefix="/auth",
    tags=["auth"],
    # Anyone can send these bodies, and checking 1 MiB of unknown fields takes 0.25 s.
    max_body_size=16 * 1024,
)


def has_users(session: Session) -> bool:
    return session.exec(select(User.id).limit(1)).first() is not None


@router.post(
    "/register",
    status_code=201,
    response_model=UserPublic,
    dependencies=[HashingSlot],
    responses=document(UserExists, Conflict),
)
def register(user_in: UserCreate, session: SessionDep) -> User:
    """Create an account. By default, the first user becomes an admin."""
    if security.is_weak(user_in.password, user_in.username):
        raise WeakPassword("password")
    hashed_password = security.hash_password(user_in.password)
    user = User.model_validate(user_in, update={"hashed_password": hashed_password})
    if settings.first_user_is_admin and not has_users(session):
        # Two requests may both see no users: lock, and look again.
        lock_users(session)
        user.is_admin = not has_users(session)
    session.add(user)
    # If the name or the email is taken, this raises an error: see `handle_database_error`.
    session.commit()
    if user.is_admin:
        logger.warning("User %s is an admin, as the first user", user.id)
    return user


@router.post(
    "/token", dependencies=[HashingSlot], responses=document(IncorrectLogin, TooManyFailures)
)
def log_in(
    form: Annotated[LoginForm, Form()], request: Request, session: SessionDep, response: Response
) -> Token:
    """Exchange a username and a password for a token. Send it as `Authorization: Bearer`."""
    keys = throttle.login_keys(request, form.username)
    throttle.check(keys, request)
    user = session.exec(select(User).where(User.username_equals(form.username))).one_or_none()
    # Verify even if there is no such user, so that the response time gives nothing away.
    hashed_password = user.hashed_password if user else security.UNKNOWN_USER_HASH
    is_correct = security.verify_password(form.password, hashed_password)
    if user is None or not is_correct:
        throttle.count_failure(keys, request, user)
        raise IncorrectLogin
    if security.hasher.check_needs_rehash(user.hashed_password):
        # It was made with older parameters. Only replace it if the password is still the same.
        session.exec(
            update(User)
            .where(col(User.id) == user.id, col(User.hashed_password) == user.hashed_password)
            .values(hashed_password=security.hash_password(form.password))
        )
        session.commit()
    response.headers["Cache-Control"] = "no-store"
    return Token(
        access_token=security.create_token(user.id, user.token_version),
        expires_in=60 * settings.access_token_expire_minutes,
    )


@router.delete("/tokens", status_code=204, responses=document(InvalidToken, Conflict))
def delete_tokens(user: CurrentUser, session: SessionDep) -> None:
    """Make all of your tokens stop working, on all devices."""
    user.token_version = new_token_version()
    session.commit()
