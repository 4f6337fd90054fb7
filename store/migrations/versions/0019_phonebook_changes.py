"""Count the changes of each phonebook: who keeps its words in memory must notice them."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "phonebook_contracts", sa.Column("changes", sa.Integer(), nullable=False, server_default="0")
    )


def downgrade() -> None:
    op.drop_column("phonebook_contracts", "changes")
