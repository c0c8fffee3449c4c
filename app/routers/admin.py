from fastapi import APIRouter, status

from app.database import SessionDep
from app.dependencies import AdminUser, ReadPage, RequestedUser, keep_an_admin
from app.errors import INVALID, INVALID_BODY, LAST_ADMIN, UNAUTHORIZED, UNAVAILABLE, error
from app.models import User, UserAdminUpdate, UserPublic

router = APIRouter(
    prefix="/admin/users",
    tags=["admin"],
    responses=UNAUTHORIZED | error(403, "Admin access required") | INVALID | UNAVAILABLE,
)

USER_NOT_FOUND = error(404, "User not found")


@router.get("", response_model=list[UserPublic])
async def list_users(admin: AdminUser, read_page: ReadPage) -> list[dict[str, object]]:
    """List all accounts, the oldest first."""
    return await read_page(User, UserPublic)


@router.patch("/{user_id}", response_model=UserPublic, responses=INVALID_BODY | USER_NOT_FOUND | LAST_ADMIN)
def update_user(user_in: UserAdminUpdate, admin: AdminUser, user: RequestedUser, session: SessionDep) -> User:
    """Make a user admin, or no longer admin."""
    if user_in.is_admin is False:
        keep_an_admin(user, session)
    user.sqlmodel_update(user_in.model_dump())
    session.commit()
    return user


@router.delete("/{user_id}", status_code=status.HTTP_204_NO_CONTENT, responses=USER_NOT_FOUND | LAST_ADMIN)
def delete_user(admin: AdminUser, user: RequestedUser, session: SessionDep) -> None:
    """Delete an account and all its posts."""
    keep_an_admin(user, session)
    user.delete(session)
