"""Lists in pages: their order, their filter, and the link to the next page."""

from fastapi.testclient import TestClient

from app.models import User
from tests.client import client_of
from tests.factories import PostFactory


def test_list_can_start_with_the_newest_posts(client: TestClient) -> None:
    old, new = PostFactory.create_batch(2)

    response = client.get("/posts", params={"order": "newest"})

    assert [post["id"] for post in response.json()] == [new.id, old.id]
    assert client.get("/posts?order=newest&after=0").json() == []


def test_list_can_be_limited_to_the_posts_of_one_user(client: TestClient, user: User) -> None:
    PostFactory.create()
    own = PostFactory.create(author=user)

    response = client.get("/posts", params={"user_id": user.id})

    assert [post["id"] for post in response.json()] == [own.id]


def test_page_has_fifty_posts_by_default(client: TestClient, user: User) -> None:
    PostFactory.create_batch(51, author=user)

    response = client.get("/posts")

    assert len(response.json()) == 50
    assert "Link" in response.headers


def test_full_page_has_no_link_when_no_post_follows(client: TestClient) -> None:
    PostFactory.create_batch(2)

    response = client.get("/posts", params={"limit": 2})

    assert len(response.json()) == 2
    assert "Link" not in response.headers


def test_page_links_to_the_next_one(client: TestClient) -> None:
    first, second, third = PostFactory.create_batch(3)

    response = client.get("/posts", params={"limit": 2})

    assert [post["id"] for post in response.json()] == [first.id, second.id]
    assert response.headers["Link"] == f'</posts?limit=2&after={second.id}>; rel="next"'
    client_of(second.author).delete(f"/posts/{second.id}")  # The link works all the same.
    next_page = client.get(response.links["next"]["url"])
    assert [post["id"] for post in next_page.json()] == [third.id]


def test_link_to_the_next_page_keeps_the_other_parameters(client: TestClient, user: User) -> None:
    PostFactory.create()
    first, second, third = PostFactory.create_batch(3, author=user)
    PostFactory.create()

    response = client.get("/posts", params={"user_id": user.id, "order": "newest", "limit": 2})

    assert [post["id"] for post in response.json()] == [third.id, second.id]
    query = f"user_id={user.id}&order=newest&limit=2&after={second.id}"
    assert response.headers["Link"] == f'</posts?{query}>; rel="next"'
    next_page = client.get(response.links["next"]["url"])
    assert [post["id"] for post in next_page.json()] == [first.id]


def test_link_to_the_next_page_works_behind_a_path_prefix(user: User) -> None:
    PostFactory.create_batch(2)
    client = client_of(user, root_path="/api")

    response = client.get("/api/posts", params={"limit": 1})

    assert response.links["next"]["url"].startswith("/api/posts?limit=1&after=")
