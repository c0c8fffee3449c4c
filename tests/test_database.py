"""The settings of connections, as literals: nothing else notices most of them until the day that they are needed."""

from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from app.database import ADMISSION_SECONDS, POOL_SIZE, build_engine


@pytest.mark.parametrize(
    ("pragma", "value"), [("busy_timeout", 4000), ("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)]
)
def test_sqlite_waits_for_locks_and_keeps_what_it_acknowledged(tmp_path: Path, pragma: str, value: object) -> None:
    engine = build_engine(f"sqlite:///{tmp_path}/test.db")

    with engine.connect() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value

    engine.dispose()


def test_postgres_is_given_up_in_time() -> None:
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    engine = build_engine("postgresql+psycopg://db.example.com/posts")
    parameters: dict[str, object] = {}

    @event.listens_for(engine, "do_connect")
    def refuse_to_connect(_dialect: object, _record: object, _args: object, keywords: dict[str, object]) -> None:
        parameters.update(keywords)
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        engine.connect()

    assert parameters["connect_timeout"] == 2
    assert parameters["options"] == "-c statement_timeout=2s"


def test_request_waits_half_a_minute_for_one_of_five_connections(tmp_path: Path) -> None:
    assert (ADMISSION_SECONDS, POOL_SIZE) == (30, 5)
    assert build_engine(f"sqlite:///{tmp_path}/test.db").pool.status().startswith("Pool size: 5 ")


def test_values_of_a_failed_statement_stay_out_of_the_log(tmp_path: Path) -> None:
    engine = build_engine(f"sqlite:///{tmp_path}/test.db")

    with engine.connect() as connection, pytest.raises(OperationalError) as failure:
        connection.execute(text("SELECT * FROM nowhere WHERE password = :password"), {"password": "hunter2"})

    assert "nowhere" in str(failure.value)
    assert "hunter2" not in str(failure.value)
    engine.dispose()
