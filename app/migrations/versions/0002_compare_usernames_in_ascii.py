"""Compare usernames in ASCII.

On PostgreSQL, `lower` follows the collation of the column. In a Turkish one, lower('I') isn't 'i',
so that Irfan and irfan could be two users. The collation "C" only knows ASCII, as does SQLite.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # This fails if there are such users: rename one of them.
        op.execute('ALTER TABLE users ALTER username TYPE VARCHAR COLLATE "C"')


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute('ALTER TABLE users ALTER username TYPE VARCHAR COLLATE "default"')
