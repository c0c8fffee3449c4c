"""Compare usernames in ASCII.

On PostgreSQL, `lower` follows the collation of the column. In a Turkish one, lower('I') isn't 'i',
so that Irfan and irfan could be two users. The collation "C" only knows ASCII, as does SQLite.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CLASHES = """
    SELECT string_agg(username, ', ') FROM users
    GROUP BY lower(username COLLATE "C") HAVING count(*) > 1
"""


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        if clashes := connection.scalars(sa.text(CLASHES)).all():
            raise ValueError(
                f"these users differ only in case, so rename some: {'; '.join(clashes)}"
            )
        op.execute('ALTER TABLE users ALTER username TYPE VARCHAR COLLATE "C"')


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute('ALTER TABLE users ALTER username TYPE VARCHAR COLLATE "default"')
