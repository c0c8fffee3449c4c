from fastapi.testclient import TestClient
from sqlmodel import Session

from app.models import Post, User
from tests.factories import PostFactory


def test_user_can_publish_a_post(user_client: TestClient, user: User, session: Session) -> None:
    response = user_client.post("/posts", json={"title": "Hello", "content": "My first post."})

    assert response.status_code == 201
    post = session.get_one(Post, response.json()["id"])
    assert response.json() == {
        "id": post.id,
        "title": "Hello",
        "content": "My first post.",
        "user_id": user.id,
        "date_posted": post.date_posted.isoformat().replace("+00:00", "Z"),
    }
    assert (post.title, post.content, post.user_id) == ("Hello", "My first post.", user.id)


def test_author_can_update_post(user_client: TestClient, user: User, session: Session) -> None:
    post = PostFactory.create(author=user, title="Before")

    response = user_client.patch(f"/posts/{post.id}", json={"title": "After"})

    assert response.status_code == 200
    assert session.get_one(Post, post.id).title == "After"
