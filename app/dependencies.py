"""The dependencies of endpoints, and what several routers share.

FastAPI runs `def` functions in a thread. Those that wait for nothing don't need one, so they are
`async def`, which is faster.
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, HTTPException, Request, Response
from fastapi.security import OAuth2PasswordBearer
from sqlmodel import Field, Session, select

from app import errors, security
from app.database import SessionDep, lock_users
from app.models import MAX_ID, Id, Post, RequestModel, User

# Without `auto_error`, a missing token is refused below, like an invalid one.
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="auth/token", auto_error=False)


def get_current_user(
    token: Annotated[str | None, Depends(oauth2_scheme)], session: SessionDep
) -> User:
    claims = security.read_token(token) if token else None
    if claims is None:
        raise errors.InvalidToken
    user = session.get(User, claims.sub)
    if user is None or user.token_version != claims.version:
        raise errors.InvalidToken
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


async def require_admin(user: CurrentUser) -> None:
    if not user.is_admin:
        raise errors.AdminRequired


def get_user(user_id: Id, session: SessionDep) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise errors.UserNotFound
    return user


RequestedUser = Annotated[User, Depends(get_user)]


def get_post(post_id: Id, session: SessionDep) -> Post:
    post = session.get(Post, post_id)
    if post is None:
        raise errors.PostNotFound
    return post


RequestedPost = Annotated[Post, Depends(get_post)]


async def get_editable_post(user: CurrentUser, post: RequestedPost) -> Post:
    if not post.may_be_changed_by(user):
        raise errors.NotYourPostToUpdate
    return post


EditablePost = Annotated[Post, Depends(get_editable_post)]


async def get_deletable_post(user: CurrentUser, post: RequestedPost) -> Post:
    if not post.may_be_changed_by(user):
        raise errors.NotYourPostToDelete
    return post


DeletablePost = Annotated[Post, Depends(get_deletable_post)]


def refuse_if_last_admin(user: User, session: Session) -> None:
    """Raise LastAdmin if `user` is the only admin. Call it before any write, as it locks users."""
    lock_users(session)
    # Ask the database again, as `user` was read before the lock.
    admin_ids = session.exec(select(User.id).where(User.is_admin).limit(2)).all()
    if admin_ids == [user.id]:
        raise errors.LastAdmin


async def take_hashing_slot(request: Request) -> AsyncIterator[None]:
    """Hold a slot until the endpoint returns. `max_concurrency`, below, makes others wait."""
    if await request.is_disconnected():
        # Don't hash for a client that gave up while it waited: that would only delay others.
        raise HTTPException(499, "The client closed the connection")  # For the access log.
    yield


# Hashing a password keeps a core busy for about 25 ms, so a process only hashes 2 at once. An
# endpoint that hashes has `dependencies=[HashingSlot]` in its decorator. FastAPI runs these before
# the dependencies of the function, so requests that wait for a slot hold no database connection.
HASHING_SLOTS = 2
HashingSlot = Depends(take_hashing_slot, scope="function", max_concurrency=HASHING_SLOTS)


class Page(RequestModel):
    """The query parameters of a list that is sorted by id, in pages.

    Unlike with an offset, all pages cost the same, and rows that are added or deleted meanwhile
    don't shift the next page. To see whether there is one, a list reads one row more than `limit`.
    In any other order than that of the ids, `after` would skip rows.
    """

    limit: int = Field(default=50, ge=1, le=100, description="How many rows to return.")
    after: int = Field(default=None, ge=0, le=MAX_ID, description="The last id of the page before.")

    def link_next(self, ids: list[int], request: Request, response: Response) -> None:
        """Link to the next page (RFC 8288) if there are more ids than `limit`."""
        if len(ids) > self.limit:
            url = request.url.include_query_params(after=ids[self.limit - 1])
            response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
