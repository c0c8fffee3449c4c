from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import col, select

from app import errors
from app.database import SessionDep
from app.dependencies import AdminUser, Page, RequestedUser, refuse_if_last_admin
from app.models import User, UserAdminUpdate, UserPublic

router = APIRouter(
    prefix="/admin/users",
    tags=["admin"],
    responses=errors.document(
        errors.InvalidToken, errors.AdminRequired, errors.DatabaseUnavailable
    ),
)


@router.get("", response_model=list[UserPublic])
def list_users(
    admin: AdminUser,
    page: Annotated[Page, Query()],
    session: SessionDep,
    request: Request,
    response: Response,
) -> Sequence[User]:
    """List all accounts, oldest first. The header `Link` has the URL of the next page."""
    query = select(User).order_by(col(User.id)).limit(page.limit + 1)
    if page.after is not None:
        query = query.where(User.id > page.after)
    users = session.exec(query).all()
    page.link_next([user.id for user in users], request, response)
    return users[: page.limit]


@router.patch(
    "/{user_id}",
    response_model=UserPublic,
    responses=errors.document(
        *errors.BODY_ERRORS, errors.UserNotFound, errors.LastAdmin, errors.Conflict
    ),
)
def update_user(
    user_in: UserAdminUpdate, admin: AdminUser, user: RequestedUser, session: SessionDep
) -> User:
    """Give a user admin rights, or take them away."""
    if user_in.is_admin is False:
        refuse_if_last_admin(user, session)
    user.sqlmodel_update(user_in.model_dump(exclude_unset=True))
    session.commit()
    return user


@router.delete(
    "/{user_id}",
    status_code=204,
    responses=errors.document(errors.UserNotFound, errors.LastAdmin, errors.Conflict),
)
def delete_user(admin: AdminUser, user: RequestedUser, session: SessionDep) -> None:
    """Delete an account and all of its posts."""
    refuse_if_last_admin(user, session)
    session.delete(user)
    session.commit()
