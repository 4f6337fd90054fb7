"""Put jobs into lanes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("lane", sa.String(length=100), nullable=True))
    op.create_index("ix_jobs_lane", "jobs", ["lane", "state", "created_at"])
    op.create_index("ix_jobs_subject", "jobs", ["subject_id", "kind"])


def downgrade() -> None:
    op.drop_index("ix_jobs_subject", table_name="jobs")
    op.drop_index("ix_jobs_lane", table_name="jobs")
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("lane")
