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
        f"Add `index=True` to the Field of {' and '.join(missing)} in app/models.py, and run:"
        ' uv run alembic revision --autogenerate -m "Add an index"'
    )
