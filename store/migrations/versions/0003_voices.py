"""Tell how a prompt was made."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("prompts", sa.Column("voice", sa.String(length=20), nullable=True))
    op.add_column("prompts", sa.Column("purpose", sa.String(length=20), nullable=True))
    op.add_column("prompts", sa.Column("file_name", sa.String(length=100), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("prompts") as prompts:
        prompts.drop_column("file_name")
        prompts.drop_column("purpose")
        prompts.drop_column("voice")
