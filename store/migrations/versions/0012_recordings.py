"""Add recordings of calls."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "recording_settings",
        sa.Column("number_id", sa.String(length=32), nullable=False),
        sa.Column("inbound", sa.Boolean(), nullable=False),
        sa.Column("outbound", sa.Boolean(), nullable=False),
        sa.Column("announcement", sa.Boolean(), nullable=False),
        sa.Column("prompt_id", sa.String(length=32), nullable=True),
        sa.Column("transcribe", sa.Boolean(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["number_id"], ["phone_numbers.id"], name=op.f("fk_recording_settings_number_id")
        ),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name=op.f("fk_recording_settings_prompt_id")),
        sa.PrimaryKeyConstraint("number_id", name=op.f("pk_recording_settings")),
    )
    op.create_table(
        "recordings",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("number_id", sa.String(length=32), nullable=False),
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("direction", sa.String(length=10), nullable=False),
        sa.Column("other_party", sa.String(length=40), nullable=True),
        sa.Column("other_party_kind", sa.String(length=20), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_s", sa.Double(), nullable=False),
        sa.Column("sections", sa.JSON(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("media", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("announcement_prompt_id", sa.String(length=32), nullable=True),
        sa.Column("announcement_sha256", sa.String(length=64), nullable=True),
        sa.Column("announcement_text", sa.Text(), nullable=True),
        sa.Column("announcement_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("announcement_ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("announcement_played_to_end", sa.Boolean(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("missing_since", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_recordings_account_id")),
        sa.ForeignKeyConstraint(["number_id"], ["phone_numbers.id"], name=op.f("fk_recordings_number_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recordings")),
        sa.UniqueConstraint("call_id", name=op.f("uq_recordings_call_id")),
    )
    op.create_index("ix_recordings_account_started", "recordings", ["account_id", "started_at", "id"])
    op.create_index("ix_recordings_other_party", "recordings", ["account_id", "other_party", "started_at"])
    op.create_index("ix_recordings_kept_since", "recordings", ["created_at", "id"])
    op.create_index("ix_recordings_media", "recordings", ["media"])
    op.create_index(op.f("ix_recordings_number_id"), "recordings", ["number_id"])
    op.create_table(
        "recording_transcripts",
        sa.Column("recording_id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("words", sa.JSON(), nullable=False),
        sa.Column("engine", sa.String(length=40), nullable=True),
        sa.Column("model", sa.String(length=200), nullable=True),
        sa.Column("failure", sa.String(length=500), nullable=True),
        sa.Column("recognised_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["recording_id"],
            ["recordings.id"],
            name=op.f("fk_recording_transcripts_recording_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("recording_id", name=op.f("pk_recording_transcripts")),
    )


def downgrade() -> None:
    op.drop_table("recording_transcripts")
    op.drop_table("recordings")
    op.drop_table("recording_settings")
