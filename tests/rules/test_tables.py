"""What every table needs, yours too: indexes, what a deletion does, and ids that stay unique."""

from sqlalchemy import PrimaryKeyConstraint, Table, UniqueConstraint
from sqlmodel import SQLModel


def find_leading_columns(table: Table) -> set[str]:
    """Return the names of the columns that an index of the table begins with."""
    indexed = [index.expressions[0] for index in table.indexes] + [
        next(iter(constraint.columns))
        for constraint in table.constraints
        if isinstance(constraint, (PrimaryKeyConstraint, UniqueConstraint))
    ]
    return {str(column) for column in indexed}


def test_foreign_keys_have_an_index() -> None:
    """Deleting a row looks for all rows that refer to it. Without an index, it reads them all."""
    missing = [
        str(key.parent)
        for table in SQLModel.metadata.sorted_tables
        for key in table.foreign_keys
        if str(key.parent) not in find_leading_columns(table)
    ]

    assert not missing, (
        f"Add `index=True` to the Field of {' and '.join(missing)} in app/models.py, or an Index"
        " that begins with it: a unique one, if there may be only one such row. Then write the"
        " migration: uv run alembic upgrade head"
        ' && uv run alembic revision --autogenerate -m "Add an index"'
    )


def test_foreign_keys_say_what_happens_when_their_row_is_deleted() -> None:
    """By default, the database refuses to delete it, so nobody could delete their account."""
    missing = [
        str(key.parent)
        for table in SQLModel.metadata.sorted_tables
        for key in table.foreign_keys
        if key.ondelete is None
    ]

    assert not missing, (
        f'Add `ondelete="CASCADE"` to the Field of {" and ".join(missing)} in app/models.py, and to'
        " its migration"
    )


def test_ids_of_deleted_rows_are_never_used_again() -> None:
    missing = [
        table.name
        for table in SQLModel.metadata.sorted_tables
        if table.autoincrement_column is not None
        and not table.dialect_options["sqlite"]["autoincrement"]
    ]

    assert not missing, (
        f'Add `{{"sqlite_autoincrement": True}}` to the `__table_args__` of {" and ".join(missing)}'
        " in app/models.py. Yours replace those of TableBase."
    )
