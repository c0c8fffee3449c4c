from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Field, col, select

from app.database import SessionDep
from app.dependencies import CurrentUser, DeletablePost, EditablePost, Page, RequestedPost
from app.docs import LINK, LOCATION, document
from app.errors import (
    Conflict,
    InvalidToken,
    NotYourPostToDelete,
    NotYourPostToUpdate,
    PostNotFound,
)
from app.models import Id, Post, PostCreate, PostPublic, PostUpdate

router = APIRouter(prefix="/posts", tags=["posts"])


@router.post(
    "",
    status_code=201,
    response_model=PostPublic,
    responses=document(InvalidToken, Conflict) | LOCATION,
)
def create_post(
    post_in: PostCreate,
    user: CurrentUser,
    session: SessionDep,
    request: Request,
    response: Response,
) -> Post:
    """Publish a post under your name."""
    post = Post.model_validate(post_in, update={"user_id": user.id})
    session.add(post)
    session.commit()
    response.headers["Location"] = f"{request.url.path}/{post.id}"
    return post


class PostPage(Page):
    user_id: Id = Field(default=None, description="Only the posts of this user.")
    order: Literal["oldest", "newest"] = Field(default="oldest", description="Which come first.")


@router.get("", response_model=list[PostPublic], responses=LINK)
def list_posts(
    page: Annotated[PostPage, Query()], session: SessionDep, request: Request, response: Response
) -> Sequence[Post]:
    """List the posts of all users, or of one. The header `Link` has the URL of the next page."""
    query = select(Post).limit(page.limit + 1)
    if page.user_id is not None:
        query = query.where(Post.user_id == page.user_id)
    if page.order == "newest":
        query = query.order_by(col(Post.id).desc())
        if page.after is not None:
            query = query.where(Post.id < page.after)
    else:
        query = query.order_by(col(Post.id))
        if page.after is not None:
            query = query.where(Post.id > page.after)
    posts = session.exec(query).all()
    page.link_next([post.id for post in posts], request, response)
    return posts[: page.limit]


@router.get("/{post_id}", response_model=PostPublic, responses=document(PostNotFound))
async def read_post(post: RequestedPost) -> Post:
    """Return one post."""
    return post


@router.patch(
    "/{post_id}",
    response_model=PostPublic,
    responses=document(InvalidToken, NotYourPostToUpdate, PostNotFound, Conflict),
)
def update_post(post_in: PostUpdate, post: EditablePost, session: SessionDep) -> Post:
    """Change the given fields of a post."""
    post.sqlmodel_update(post_in.model_dump(exclude_unset=True))
    session.commit()
    return post


@router.delete(
    "/{post_id}",
    status_code=204,
    responses=document(InvalidToken, NotYourPostToDelete, PostNotFound, Conflict),
)
def delete_post(post: DeletablePost, session: SessionDep) -> None:
    """Delete a post."""
    session.delete(post)
    session.commit()
