"""Let messages be read, handled and kept for a time."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATUS = sa.Enum("open", "in_progress", "done", name="messagestatus", native_enum=False, length=20)


def upgrade() -> None:
    op.add_column(
        "accounts", sa.Column("message_retention_days", sa.Integer(), nullable=True, server_default="30")
    )
    op.add_column("voice_messages", sa.Column("read_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("voice_messages", sa.Column("read_by", sa.String(length=32), nullable=True))
    op.add_column("voice_messages", sa.Column("status", STATUS, nullable=False, server_default="open"))
    op.add_column("voice_messages", sa.Column("note", sa.Text(), nullable=False, server_default=""))
    op.add_column("voice_messages", sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE voice_messages SET updated_at = created_at")
    with op.batch_alter_table("voice_messages") as messages:
        messages.alter_column("updated_at", existing_type=sa.DateTime(timezone=True), nullable=False)
    op.create_index("ix_voice_messages_caller", "voice_messages", ["account_id", "caller", "started_at"])
    op.create_index("ix_voice_messages_unread", "voice_messages", ["account_id", "number_id", "read_at"])
    op.create_index("ix_voice_messages_kept_since", "voice_messages", ["account_id", "created_at"])
    op.create_index("ix_voice_messages_media", "voice_messages", ["media"])
    op.create_table(
        "chores",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_chores")),
    )


def downgrade() -> None:
    op.drop_table("chores")
    for index in ("media", "kept_since", "unread", "caller"):
        op.drop_index(f"ix_voice_messages_{index}", table_name="voice_messages")
    with op.batch_alter_table("voice_messages") as messages:
        for column in ("updated_at", "note", "status", "read_by", "read_at"):
            messages.drop_column(column)
    op.drop_column("accounts", "message_retention_days")
