"""Run by Alembic: how to reach the database, and what its tables should look like."""

import logging
import warnings

from alembic import context
from alembic.runtime.migration import MigrationInfo
from sqlmodel import SQLModel

from app import models  # noqa: F401 - fills SQLModel.metadata
from app.database import migration_transaction

logger = logging.getLogger(__name__)

# On SQLite, Alembic can't compare an index on lower(). The tests of the migrations can.
warnings.filterwarnings("ignore", message=".*expression-based index")


def log_migration(ctx: object, step: MigrationInfo, heads: object, run_args: object) -> None:
    """Log one line, as a warning, because Python hides anything less by default."""
    if step.is_stamp:  # It only notes a revision.
        return
    verb = "Applied" if step.is_upgrade else "Undid"
    message = getattr(step.up_revision, "doc", "")
    logger.warning("%s migration %s: %s", verb, step.up_revision_id, message)


with migration_transaction() as connection:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        user_module_prefix="sqlmodel.",  # mypy refuses the longer path.
        on_version_apply=log_migration,
    )
    context.run_migrations()
