from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from sqlalchemy import Row
from sqlalchemy import select as select_columns
from sqlmodel import SQLModel

from app import errors
from app.database import SessionDep
from app.dependencies import CurrentUser, DeletablePost, EditablePost, Page, RequestedPost
from app.models import Id, Post, PostCreate, PostPublic, PostUpdate

router = APIRouter(
    prefix="/posts", tags=["posts"], responses=errors.document(errors.DatabaseUnavailable)
)

# This list is used most, so it reads columns, which takes half as long as `select(Post)`. In your
# own lists, select the model, as `list_users` does in admin.py: that is easier to read.
posts = SQLModel.metadata.tables["posts"]


@router.post(
    "",
    response_model=PostPublic,
    status_code=201,
    responses=errors.document(*errors.BODY_ERRORS, errors.InvalidToken, errors.Conflict),
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
    user_id: Id | None = Field(default=None, description="Only the posts of this user.")
    order: Literal["oldest", "newest"] = Field("oldest", description="Which posts come first.")


@router.get("", response_model=list[PostPublic])
def list_posts(
    page: Annotated[PostPage, Query()], session: SessionDep, request: Request, response: Response
) -> Sequence[Row[Any]]:
    """List the posts of all users, or of one. The header `Link` has the URL of the next page."""
    query = select_columns(posts).limit(page.limit + 1)
    newest_first = page.order == "newest"
    query = query.order_by(posts.c.id.desc() if newest_first else posts.c.id)
    if page.after is not None:
        query = query.where(posts.c.id < page.after if newest_first else posts.c.id > page.after)
    if page.user_id is not None:
        query = query.where(posts.c.user_id == page.user_id)
    rows = session.execute(query).all()
    page.link_next([row.id for row in rows], request, response)
    return rows[: page.limit]


@router.get("/{post_id}", response_model=PostPublic, responses=errors.document(errors.PostNotFound))
async def read_post(post: RequestedPost) -> Post:
    """Return one post."""
    return post


@router.patch(
    "/{post_id}",
    response_model=PostPublic,
    responses=errors.document(
        *errors.BODY_ERRORS,
        errors.InvalidToken,
        errors.NotYourPostToUpdate,
        errors.PostNotFound,
        errors.Conflict,
    ),
)
def update_post(post_in: PostUpdate, post: EditablePost, session: SessionDep) -> Post:
    """Change the given fields of a post."""
    post.sqlmodel_update(post_in.model_dump(exclude_unset=True))
    session.commit()
    return post


@router.delete(
    "/{post_id}",
    status_code=204,
    responses=errors.document(
        errors.InvalidToken, errors.NotYourPostToDelete, errors.PostNotFound, errors.Conflict
    ),
)
def delete_post(post: DeletablePost, session: SessionDep) -> None:
    """Delete a post."""
    session.delete(post)
    session.commit()
