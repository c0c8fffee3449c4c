from fastapi import APIRouter, Request

from app import security, throttle
from app.database import SessionDep
from app.dependencies import CurrentUser, HashingSlot, refuse_if_last_admin
from app.docs import document
from app.errors import (
    Conflict,
    IncorrectPassword,
    InvalidToken,
    LastAdmin,
    TooManyFailures,
    UserExists,
    WeakPassword,
)
from app.models import PasswordUpdate, User, UserPublic, UserUpdate, new_token_version

router = APIRouter(prefix="/users/me", tags=["users"], responses=document(InvalidToken))


@router.get("", response_model=UserPublic)
async def read_current_user(user: CurrentUser) -> User:
    """Return the account that the token belongs to."""
    return user


@router.patch("", response_model=UserPublic, responses=document(UserExists, Conflict))
def update_current_user(user_in: UserUpdate, user: CurrentUser, session: SessionDep) -> User:
    """Change the given fields of your account."""
    user.sqlmodel_update(user_in.model_dump(exclude_unset=True))
    # If the name or the email is taken, this raises an error: see `handle_database_error`.
    session.commit()
    return user


@router.put(
    "/password",
    status_code=204,
    dependencies=[HashingSlot],
    responses=document(IncorrectPassword, Conflict, TooManyFailures),
)
def update_password(
    password_in: PasswordUpdate, user: CurrentUser, request: Request, session: SessionDep
) -> None:
    """Change your password. All of your tokens stop working, so log in again."""
    keys = throttle.user_keys(user)
    throttle.check(keys, request)
    if not security.verify_password(password_in.current_password, user.hashed_password):
        throttle.count_failure(keys, request, user)
        raise IncorrectPassword
    if security.is_weak(password_in.new_password, user.username):
        raise WeakPassword("new_password")
    user.hashed_password = security.hash_password(password_in.new_password)
    user.token_version = new_token_version()
    session.commit()


@router.delete("", status_code=204, responses=document(LastAdmin, Conflict))
def delete_current_user(user: CurrentUser, session: SessionDep) -> None:
    """Delete your account and everything in it."""
    refuse_if_last_admin(user, session)
    session.delete(user)
    session.commit()
