from fastapi import APIRouter, Request
from sqlalchemy.exc import IntegrityError

from app import errors, security, throttle
from app.database import SessionDep
from app.dependencies import CurrentUser, HashingSlot, refuse_if_last_admin
from app.models import PasswordUpdate, User, UserPublic, UserUpdate, new_token_version

router = APIRouter(
    prefix="/users/me",
    tags=["users"],
    responses=errors.document(errors.InvalidToken, errors.DatabaseUnavailable),
    max_body_size=16 * 1024,  # See auth.py.
)


@router.get("", response_model=UserPublic)
async def read_current_user(user: CurrentUser) -> User:
    """Return the account that the token belongs to."""
    return user


@router.patch(
    "",
    response_model=UserPublic,
    responses=errors.document(*errors.BODY_ERRORS, errors.UserExists, errors.Conflict),
)
def update_current_user(user_in: UserUpdate, user: CurrentUser, session: SessionDep) -> User:
    """Change your username, your email address, or both."""
    user.sqlmodel_update(user_in.model_dump(exclude_unset=True))
    try:
        session.commit()
    except IntegrityError as error:
        # Only `username` and `email` are unique. If you make another column unique, change this.
        raise errors.UserExists from error
    return user


@router.put(
    "/password",
    status_code=204,
    dependencies=[HashingSlot],
    responses=errors.document(
        *errors.BODY_ERRORS, errors.IncorrectPassword, errors.Conflict, errors.TooManyFailures
    ),
)
def update_password(
    password_in: PasswordUpdate, user: CurrentUser, request: Request, session: SessionDep
) -> None:
    """Change your password. All of your tokens stop working, so log in again."""
    throttle.check_password_change(user)
    if not security.verify_password(password_in.current_password, user.hashed_password):
        throttle.count_failed_password_change(user, request)
        raise errors.IncorrectPassword
    if security.is_weak(password_in.new_password, user.username):
        raise errors.WeakPassword("new_password")
    user.hashed_password = security.hash_password(password_in.new_password)
    user.token_version = new_token_version()
    session.commit()


@router.delete("", status_code=204, responses=errors.document(errors.LastAdmin, errors.Conflict))
def delete_current_user(user: CurrentUser, session: SessionDep) -> None:
    """Delete your account and all of your posts."""
    refuse_if_last_admin(user, session)
    session.delete(user)
    session.commit()
