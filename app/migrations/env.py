"""Run by Alembic: how to reach the database, and what its tables should look like."""

import os

from alembic import context
from sqlmodel import SQLModel

# A migration needs no SECRET_KEY.
os.environ.setdefault("FASTAPI_ENV", "development")

from app import models  # noqa: F401 - fills SQLModel.metadata
from app.database import migration_transaction

with migration_transaction() as connection:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        user_module_prefix="sqlmodel.",  # As mypy demands: not `sqlmodel.sql.sqltypes.`
    )
    context.run_migrations()
