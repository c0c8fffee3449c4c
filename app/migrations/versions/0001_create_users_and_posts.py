"""Create users and posts.

A database of the first release, from before there were migrations, has all of this already.
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", BIG_INTEGER, primary_key=True, nullable=False),
        sa.Column("username", sqlmodel.AutoString(), nullable=False),
        sa.Column("email", sqlmodel.AutoString(), nullable=False),
        sa.Column("hashed_password", sqlmodel.AutoString(), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("token_version", sa.Integer(), nullable=False),
        sa.UniqueConstraint("email"),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_index("ix_users_is_admin", "users", ["is_admin"], if_not_exists=True)
    op.create_index(
        "ix_users_username", "users", [sa.text("lower(username)")], unique=True, if_not_exists=True
    )
    op.create_table(
        "posts",
        sa.Column("id", BIG_INTEGER, primary_key=True, nullable=False),
        sa.Column("title", sqlmodel.AutoString(), nullable=False),
        sa.Column("content", sqlmodel.AutoString(), nullable=False),
        sa.Column("user_id", BIG_INTEGER, nullable=False),
        sa.Column("date_posted", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_index("ix_posts_user_id_id", "posts", ["user_id", "id"], if_not_exists=True)


def downgrade() -> None:
    # A later migration may have dropped `posts`.
    op.drop_table("posts", if_exists=True)
    op.drop_table("users")
