"""What holds for any input, tried on inputs that hypothesis makes up; the same ones in each run."""

import json
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.models import Post, User
from tests.factories import PostFactory, UserFactory

tries = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    # Examples share the database of their test, and none counts on what another leaves there.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
characters = st.characters(exclude_categories=["Cc", "Cs"])
numbers = st.integers(-(10**400), 10**400) | st.floats()
# Any JSON, and what Python reads and writes beyond it: NaN, infinity, and halves of surrogate pairs.
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=[])),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)
fields = ["username", "email", "password", "current_password", "new_password", "is_admin", "title", "content"]
objects = st.dictionaries(st.sampled_from(fields), anything, min_size=1)
requests = st.sampled_from(
    [
        "POST /auth/register",
        "POST /auth/token",
        "PATCH /users/me",
        "PUT /users/me/password",
        "POST /posts",
        "PATCH /posts/{post.id}",
        "PATCH /admin/users/{post.user_id}",
    ]
)
media_types = st.sampled_from(
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=part"]
)


@pytest.fixture
def posts(user: User, admin: User) -> list[Post]:
    return [PostFactory.create(author=author) for author in [user, admin, admin, user, user, admin, user]]


@tries
@given(limit=st.integers(1, 8), order=st.sampled_from(["oldest", "newest"]), author=st.none() | st.integers(0, 6))
def test_pages_join_to_the_whole_list(
    limit: int, order: str, author: int | None, posts: list[Post], client: TestClient
) -> None:
    expected = [post.id for post in posts if author is None or post.user_id == posts[author].user_id]
    url = f"/posts?limit={limit}&order={order}" + ("" if author is None else f"&user_id={posts[author].user_id}")

    ids = []
    while url:
        response = client.get(url)
        ids += [post["id"] for post in response.json()]
        url = response.links.get("next", {}).get("url", "")

    assert ids == (expected if order == "oldest" else expected[::-1])


@tries
@given(
    title=st.text(characters, max_size=98).map("x{}x".format),
    content=st.text(characters | st.sampled_from("\t\r\n"), max_size=200).map("x{}x".format),
)
def test_any_text_of_a_post_comes_back_as_it_was_sent(title: str, content: str, user_client: TestClient) -> None:
    created = user_client.post("/posts", json={"title": title, "content": content}).json()

    response = user_client.get(f"/posts/{created['id']}")

    assert (response.json()["title"], response.json()["content"]) == (title, content)


@tries
@given(password=st.text(characters, min_size=8, max_size=128))
def test_any_password_opens_the_account_that_it_was_set_for(password: str, client: TestClient) -> None:
    account = UserFactory.build()
    registration = {"username": account.username, "email": account.email, "password": password}
    client.post("/auth/register", json=registration)

    response = client.post("/auth/token", data={"username": account.username, "password": password})

    assert response.status_code == 200


@tries
@given(request=requests, body=anything | objects)
def test_no_json_breaks_the_app(request: str, body: object, posts: list[Post], admin_client: TestClient) -> None:
    method, path = request.format(post=posts[0]).split()

    response = admin_client.request(
        method, path, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )

    assert response.status_code < 500


@tries
@given(request=requests, body=st.binary(), media_type=media_types)
def test_no_bytes_break_the_app(
    request: str, body: bytes, media_type: str, posts: list[Post], admin_client: TestClient
) -> None:
    method, path = request.format(post=posts[0]).split()

    response = admin_client.request(method, path, content=body, headers={"Content-Type": media_type})

    assert response.status_code < 500


@tries
@given(
    url=st.sampled_from(["/posts/", "/posts?limit=", "/posts?after=", "/posts?user_id=", "/posts?order="]),
    value=st.binary(max_size=20) | st.integers(0, 2**65).map(lambda number: str(number).encode()),
)
def test_no_address_breaks_the_app(url: str, value: bytes, client: TestClient) -> None:
    response = client.get(url + quote(value))

    assert response.status_code < 500
