"""Cheap attacks on the login of a real server, which may keep nobody else out."""

from collections import Counter

from app.dependencies import HASHING_SLOTS, HashingSlot
from tests.system.server import ACCOUNT, Server, send_at_once, send_login


def test_guesses_at_once_are_throttled(server: Server) -> None:
    guesses = [
        {"method": "POST", "url": "/auth/token", "data": ACCOUNT | {"password": f"guess {n}"}}
        for n in range(50)
    ]
    # From an address of their own, or nobody could log in as this user in the next tests.
    with server.client(**{"X-Forwarded-For": "198.51.100.1"}) as client:
        client.post("/auth/register", json=ACCOUNT)

        responses = send_at_once([client], guesses)

    statuses = Counter(response.status_code for response in responses)
    assert statuses.keys() == {401, 429}
    # The guess in the other hashing slot is verified too.
    assert statuses[401] in (10, 11)


def test_no_password_is_verified_for_clients_that_are_gone(server: Server) -> None:
    patient = [server.connect() for _ in range(HASHING_SLOTS)]
    impatient = [server.connect() for _ in range(60)]
    with server.client() as client:
        client.post("/auth/register", json=ACCOUNT)
        earlier = server.read_log()

        for number, connection in enumerate(patient + impatient):
            send_login(connection, username=f"nobody{number}", password="guess")
        # The server has read all of these logins when it answers this request.
        client.get("/")
        for connection in impatient:
            connection.close()
        response = client.post("/auth/token", data=ACCOUNT)

    for connection in patient:
        connection.close()
    assert response.status_code == 200
    # Of the impatient, a few may have been verified before they were gone.
    verified = server.read_log().removeprefix(earlier).count("for user None")
    assert 0 < verified < 30


def test_two_passwords_are_hashed_at_once() -> None:
    assert HashingSlot.max_concurrency == HASHING_SLOTS == 2
