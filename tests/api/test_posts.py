from datetime import UTC, datetime, timedelta, timezone

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session, select

from app.models import Post, User
from tests.client import client_of
from tests.factories import PostFactory, UserFactory


def test_user_can_create_post(user_client: TestClient, user: User, session: Session) -> None:
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


def test_factory_takes_the_author_of_a_post_and_not_their_id(user: User) -> None:
    """Otherwise it would ignore the id, and make another author."""
    with pytest.raises(TypeError, match="Pass author"):
        PostFactory.create(user_id=user.id)


def test_everyone_can_read_post(client: TestClient) -> None:
    post = PostFactory.create(title="Hello", content="My first post.")

    response = client.get(f"/posts/{post.id}")

    assert response.status_code == 200
    assert response.json()["title"] == "Hello"


def test_unknown_post_is_not_found(client: TestClient) -> None:
    response = client.get("/posts/999999999")

    assert response.status_code == 404
    assert response.json() == {"detail": "Post not found"}


def test_everyone_can_list_posts(client: TestClient) -> None:
    posts = PostFactory.create_batch(2)

    response = client.get("/posts")

    assert response.status_code == 200
    assert response.json() == [client.get(f"/posts/{post.id}").json() for post in posts]
    assert "Link" not in response.headers


def test_author_can_update_post(user_client: TestClient, user: User, session: Session) -> None:
    post, other = PostFactory.create_batch(2, author=user, title="Before", content="Unchanged.")

    response = user_client.patch(f"/posts/{post.id}", json={"title": "After"})

    assert response.status_code == 200
    assert (response.json()["title"], response.json()["content"]) == ("After", "Unchanged.")
    stored = session.get_one(Post, post.id)
    assert (stored.title, stored.content) == ("After", "Unchanged.")
    assert stored.date_posted == post.date_posted
    assert session.get_one(Post, other.id).title == "Before"


def test_user_cannot_update_post_of_another(user_client: TestClient, session: Session) -> None:
    post = PostFactory.create(title="Before")

    response = user_client.patch(f"/posts/{post.id}", json={"title": "After"})

    assert response.status_code == 403
    assert response.json() == {"detail": "Only the owner or an admin can update this post"}
    assert session.get_one(Post, post.id).title == "Before"


def test_admin_can_update_post_of_another(admin_client: TestClient, session: Session) -> None:
    post = PostFactory.create(title="Before")

    response = admin_client.patch(f"/posts/{post.id}", json={"title": "After"})

    assert response.status_code == 200
    assert response.json()["user_id"] == post.user_id
    assert session.get_one(Post, post.id).title == "After"


def test_author_can_delete_post(user_client: TestClient, user: User, session: Session) -> None:
    post = PostFactory.create(author=user)
    other = PostFactory.create(author=user)

    response = user_client.delete(f"/posts/{post.id}")

    assert response.status_code == 204
    assert response.content == b""
    assert session.exec(select(Post.id)).all() == [other.id]


def test_user_cannot_delete_post_of_another(user_client: TestClient, session: Session) -> None:
    post = PostFactory.create()

    response = user_client.delete(f"/posts/{post.id}")

    assert response.status_code == 403
    assert response.json() == {"detail": "Only the owner or an admin can delete this post"}
    assert session.get(Post, post.id) is not None


def test_admin_can_delete_post_of_another(admin_client: TestClient, session: Session) -> None:
    post = PostFactory.create()

    response = admin_client.delete(f"/posts/{post.id}")

    assert response.status_code == 204
    assert session.get(Post, post.id) is None


def test_white_space_around_a_post_is_stripped(user_client: TestClient) -> None:
    post = {"title": " \u3000Hello\u00a0 ", "content": "\n\tFirst line\n\nLast line \u3000\n"}

    response = user_client.post("/posts", json=post)

    assert response.status_code == 201
    assert response.json()["title"] == "Hello"
    assert response.json()["content"] == "First line\n\nLast line"


def test_post_comes_back_in_any_script(user_client: TestClient) -> None:
    post = {"title": "Ελληνικά  中文 עברית", "content": "हिन्दी 👩🏽‍💻\r\n\tÉtoile 'quoted' \"%s\""}

    response = user_client.post("/posts", json=post)

    read = user_client.get(response.headers["Location"]).json()
    assert (read["title"], read["content"]) == (post["title"], post["content"])


def test_post_has_the_time_at_which_it_was_created(user_client: TestClient) -> None:
    before = datetime.now(UTC)

    response = user_client.post("/posts", json={"title": "Hello", "content": "My first post."})

    posted = datetime.fromisoformat(response.json()["date_posted"])
    assert before <= posted <= datetime.now(UTC)


def test_time_of_a_post_is_in_utc(client: TestClient) -> None:
    posted = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=timezone(timedelta(hours=5)))
    post = PostFactory.create(date_posted=posted)

    response = client.get(f"/posts/{post.id}")

    assert response.json()["date_posted"] == "2026-01-01T22:04:05.000678Z"


def test_id_of_a_deleted_post_is_never_used_again(user_client: TestClient, user: User) -> None:
    deleted = PostFactory.create(author=user)
    user_client.delete(f"/posts/{deleted.id}")

    response = user_client.post("/posts", json={"title": "Next", "content": "Another post."})

    assert response.json()["id"] > deleted.id


def test_ids_have_sixty_four_bits(client: TestClient) -> None:
    post = PostFactory.create(id=2**63 - 2, author=UserFactory.create(id=2**63 - 2))

    response = client.get(f"/posts/{post.id}")

    assert response.status_code == 200
    assert (response.json()["id"], response.json()["user_id"]) == (2**63 - 2, 2**63 - 2)


def test_location_of_a_new_post_works_behind_a_path_prefix(user: User) -> None:
    client = client_of(user, root_path="/api")

    response = client.post("/api/posts", json={"title": "Hello", "content": "My first post."})

    assert response.headers["Location"] == f"/api/posts/{response.json()['id']}"
    assert client.get(response.headers["Location"]).status_code == 200


def test_deleting_an_account_deletes_its_posts(
    user_client: TestClient, user: User, session: Session
) -> None:
    PostFactory.create(author=user)
    other = PostFactory.create()

    response = user_client.delete("/users/me")

    assert response.status_code == 204
    assert session.get(User, user.id) is None
    assert session.exec(select(Post.id)).all() == [other.id]


def test_admin_deletes_an_account_with_its_posts_and_no_others(
    admin_client: TestClient, admin: User, session: Session
) -> None:
    post = PostFactory.create()
    own = PostFactory.create(author=admin)

    response = admin_client.delete(f"/admin/users/{post.user_id}")

    assert response.status_code == 204
    assert session.exec(select(Post.id)).all() == [own.id]


def test_white_space_around_a_changed_post_is_stripped(user_client: TestClient, user: User) -> None:
    post = PostFactory.create(author=user)
    change = {"title": " \u3000Hello\u00a0 ", "content": "\n\tText\u3000\n"}

    response = user_client.patch(f"/posts/{post.id}", json=change)

    assert response.status_code == 200
    assert (response.json()["title"], response.json()["content"]) == ("Hello", "Text")
