from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlmodel import col, select

from app.database import SessionDep
from app.dependencies import Page, RequestedUser, refuse_if_last_admin, require_admin
from app.docs import LINK, document
from app.errors import AdminRequired, Conflict, InvalidToken, LastAdmin, UserNotFound
from app.models import User, UserAdminUpdate, UserPublic

router = APIRouter(
    prefix="/admin/users",
    tags=["admin"],
    # This runs before the dependencies of an endpoint, so nobody else learns which ids exist.
    dependencies=[Depends(require_admin)],
    responses=document(InvalidToken, AdminRequired),
)


@router.get("", response_model=list[UserPublic], responses=LINK)
def list_users(
    page: Annotated[Page, Query()], session: SessionDep, request: Request, response: Response
) -> Sequence[User]:
    """List all accounts, oldest first. The header `Link` has the URL of the next page."""
    query = select(User).order_by(col(User.id)).limit(page.limit + 1)
    if page.after is not None:
        query = query.where(User.id > page.after)
    users = session.exec(query).all()
    page.link_next([user.id for user in users], request, response)
    return users[: page.limit]


@router.patch(
    "/{user_id}", response_model=UserPublic, responses=document(UserNotFound, LastAdmin, Conflict)
)
def update_user(user_in: UserAdminUpdate, user: RequestedUser, session: SessionDep) -> User:
    """Give a user admin rights, or take them away."""
    if user_in.is_admin is False:
        refuse_if_last_admin(user, session)
    user.sqlmodel_update(user_in.model_dump(exclude_unset=True))
    session.commit()
    return user


@router.delete("/{user_id}", status_code=204, responses=document(UserNotFound, LastAdmin, Conflict))
def delete_user(user: RequestedUser, session: SessionDep) -> None:
    """Delete an account and everything in it."""
    refuse_if_last_admin(user, session)
    session.delete(user)
    session.commit()
