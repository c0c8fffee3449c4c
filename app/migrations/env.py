"""Run by Alembic: how to reach the database, and what its tables should look like."""

import os
import sys

from alembic import context
from sqlmodel import SQLModel

if "app.config" not in sys.modules:
    # Alembic's own commands need no SECRET_KEY. When the app starts, it has its settings already.
    os.environ["FASTAPI_ENV"] = "development"

from app import models  # noqa: F401 - fills SQLModel.metadata
from app.database import migration_transaction

with migration_transaction() as connection:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        user_module_prefix="sqlmodel.",  # mypy wants `sqlmodel.AutoString`.
    )
    context.run_migrations()
