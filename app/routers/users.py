from fastapi import APIRouter, Depends, status

from app.database import SessionDep
from app.dependencies import ConfirmedPassword, CurrentUser, HashingTurn, commit_user, get_claims, keep_an_admin
from app.errors import INVALID_BODY, LAST_ADMIN, TOO_MANY_FAILURES, UNAUTHORIZED, UNAVAILABLE, USER_CONFLICT, error
from app.models import User, UserPublic, UserUpdate
from app.security import hash_password

router = APIRouter(prefix="/users", tags=["users"], responses=UNAUTHORIZED | UNAVAILABLE)


@router.get("/me", response_model=UserPublic)
async def read_current_user(user: CurrentUser) -> User:
    """Read your own account."""
    return user


@router.patch("/me", response_model=UserPublic, responses=INVALID_BODY | USER_CONFLICT)
def update_current_user(user_in: UserUpdate, user: CurrentUser, session: SessionDep) -> User:
    """Change your username or e-mail address, or both."""
    user.sqlmodel_update(user_in.model_dump())
    commit_user(session)
    return user


@router.put(
    "/me/password",
    status_code=status.HTTP_204_NO_CONTENT,
    dependencies=[Depends(get_claims), HashingTurn],
    responses=INVALID_BODY | error(403, "Current password is incorrect") | TOO_MANY_FAILURES,
)
def update_password(password_in: ConfirmedPassword, user: CurrentUser, session: SessionDep) -> None:
    """Change your password. Every token issued before stops working."""
    user.store_hash(session, hash_password(password_in.new_password), user.token_version + 1)


@router.delete("/me", status_code=status.HTTP_204_NO_CONTENT, responses=LAST_ADMIN)
def delete_current_user(user: CurrentUser, session: SessionDep) -> None:
    """Delete your account and all its posts."""
    keep_an_admin(user, session)
    user.delete(session)
