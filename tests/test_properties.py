"""What is true for every input, tried with inputs that Hypothesis invents: the same in each run."""

import json
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.models import Post, User
from app.security import is_weak
from tests.factories import PostFactory, UserFactory

repeatable = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    # All examples of a test share its database. None of them relies on what is in it.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
characters = st.characters(exclude_categories=["Cc", "Cs"])
numbers = st.integers(-(10**400), 10**400) | st.floats()
# Any JSON, and what Python's `json` writes beyond it: NaN, Infinity and lone surrogates.
any_json = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=[])),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=5,
)
field_names = st.sampled_from(
    [
        "username",
        "email",
        "password",
        "current_password",
        "new_password",
        "is_admin",
        "title",
        "content",
    ]
)
any_object = st.dictionaries(field_names, any_json, min_size=1)
requests = st.sampled_from(
    [
        ("POST", "/auth/register"),
        ("POST", "/auth/token"),
        ("PATCH", "/users/me"),
        ("PUT", "/users/me/password"),
        ("POST", "/posts"),
        ("PATCH", "/posts/1"),
        ("PATCH", "/admin/users/1"),
    ]
)
media_types = st.sampled_from(
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=part"]
)


@pytest.fixture
def posts(user: User) -> list[Post]:
    return PostFactory.create_batch(7, author=user)


@repeatable
@given(limit=st.integers(1, 8), order=st.sampled_from(["oldest", "newest"]))
def test_all_pages_together_have_each_post_once(
    limit: int, order: str, posts: list[Post], client: TestClient
) -> None:
    ids = []
    url = f"/posts?limit={limit}&order={order}"
    while url:
        response = client.get(url)
        ids += [post["id"] for post in response.json()]
        url = response.links.get("next", {}).get("url", "")

    assert ids == sorted((post.id for post in posts), reverse=order == "newest")


@repeatable
@given(
    title=st.text(characters, max_size=98).map("x{}x".format),
    content=st.text(characters | st.sampled_from("\t\r\n"), max_size=200).map("x{}x".format),
)
def test_post_comes_back_as_it_was_sent(title: str, content: str, user_client: TestClient) -> None:
    created = user_client.post("/posts", json={"title": title, "content": content}).json()

    response = user_client.get(f"/posts/{created['id']}")

    assert response.json()["title"] == title
    assert response.json()["content"] == content


@repeatable
@given(
    password=st.text(characters, min_size=8, max_size=128).filter(
        lambda password: not is_weak(password, "")
    )
)
def test_user_can_log_in_with_any_password(password: str, client: TestClient) -> None:
    user = UserFactory.build()
    user_in = {"username": user.username, "email": user.email, "password": password}
    client.post("/auth/register", json=user_in)

    response = client.post("/auth/token", data={"username": user.username, "password": password})

    assert response.status_code == 200


@repeatable
@given(request=requests, body=any_json | any_object)
def test_no_json_causes_a_server_error(
    request: tuple[str, str], body: object, admin_client: TestClient
) -> None:
    response = admin_client.request(
        *request, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )

    assert response.status_code < 500


@repeatable
@given(request=requests, body=st.binary(), media_type=media_types)
def test_no_bytes_cause_a_server_error(
    request: tuple[str, str], body: bytes, media_type: str, admin_client: TestClient
) -> None:
    response = admin_client.request(*request, content=body, headers={"Content-Type": media_type})

    assert response.status_code < 500


@repeatable
@given(
    url=st.sampled_from(
        ["/posts/", "/posts?limit=", "/posts?after=", "/posts?user_id=", "/posts?order="]
    ),
    value=st.binary(max_size=20) | st.integers(0, 2**65).map(lambda number: b"%d" % number),
)
def test_no_url_causes_a_server_error(url: str, value: bytes, client: TestClient) -> None:
    response = client.get(url + quote(value))

    assert response.status_code < 500
