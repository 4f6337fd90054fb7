"""How many pages of a fax the far machine has from a call stands in the call's record, which outlives the fax."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("fax_pages", sa.Integer(), nullable=True))
    op.execute(
        "UPDATE calls SET fax_pages = (SELECT pages_done FROM fax_attempts WHERE fax_attempts.id = calls.id)"
        " WHERE id IN (SELECT id FROM fax_attempts WHERE ended_at IS NOT NULL)"
    )


def downgrade() -> None:
    op.drop_column("calls", "fax_pages")
