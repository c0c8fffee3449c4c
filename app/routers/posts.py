from typing import Annotated, Literal

from fastapi import APIRouter, Query, status
from fastapi.concurrency import run_in_threadpool
from sqlmodel import col

from app.database import SessionDep
from app.dependencies import CurrentUser, DeletablePost, EditablePost, ReadPage, RequestedPost
from app.errors import INVALID, INVALID_BODY, PUBLIC, UNAUTHORIZED, UNAVAILABLE, Responses, error
from app.models import Id, Post, PostCreate, PostPublic, PostUpdate

router = APIRouter(prefix="/posts", tags=["posts"], responses=INVALID | UNAVAILABLE)

POST_NOT_FOUND = error(404, "Post not found")


def own_post(action: str) -> Responses:
    return UNAUTHORIZED | error(403, f"Only the owner or an admin can {action} this post") | POST_NOT_FOUND


@router.post("", response_model=PostPublic, status_code=status.HTTP_201_CREATED, responses=INVALID_BODY | UNAUTHORIZED)
async def create_post(post_in: PostCreate, user: CurrentUser, session: SessionDep) -> Post:
    """Publish a post under your name."""
    post = Post.model_validate(post_in, update={"user_id": user.id})
    session.add(post)
    await run_in_threadpool(session.commit)
    return post


@router.get("", response_model=list[PostPublic], openapi_extra=PUBLIC)
async def list_posts(
    read_page: ReadPage,
    user_id: Annotated[Id | None, Query(description="Only the posts of this user.")] = None,
    order: Annotated[Literal["oldest", "newest"], Query(description="Which posts come first.")] = "oldest",
) -> list[dict[str, object]]:
    """List the posts of all users, or of one."""
    author = [] if user_id is None else [col(Post.user_id) == user_id]
    return await read_page(Post, PostPublic, *author, newest=order == "newest")


@router.get("/{post_id}", response_model=PostPublic, responses=POST_NOT_FOUND, openapi_extra=PUBLIC)
async def read_post(post: RequestedPost) -> Post:
    """Read one post."""
    return post


@router.patch("/{post_id}", response_model=PostPublic, responses=INVALID_BODY | own_post("update"))
def update_post(post_in: PostUpdate, post: EditablePost, session: SessionDep) -> Post:
    """Change the given fields of a post and leave the others as they are."""
    post.sqlmodel_update(post_in.model_dump())
    session.commit()
    return post


@router.delete("/{post_id}", status_code=status.HTTP_204_NO_CONTENT, responses=own_post("delete"))
def delete_post(post: DeletablePost, session: SessionDep) -> None:
    """Delete a post."""
    post.delete(session)
