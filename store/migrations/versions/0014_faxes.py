"""Add faxes: settings, submissions, faxes with their attempts, what is known of destinations."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fax_peers",
        sa.Column("e164", sa.String(length=16), nullable=False),
        sa.Column(
            "transport",
            sa.Enum("t38", "g711", name="faxtransport", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("ecm", sa.Boolean(), nullable=False),
        sa.Column("max_rate", sa.Integer(), nullable=False),
        sa.Column("fine", sa.Boolean(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("e164", name=op.f("pk_fax_peers")),
    )
    op.create_table(
        "fax_access",
        sa.Column("number_id", sa.String(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name=op.f("fk_fax_access_device_id")),
        sa.ForeignKeyConstraint(["number_id"], ["phone_numbers.id"], name=op.f("fk_fax_access_number_id")),
        sa.PrimaryKeyConstraint("number_id", "device_id", name=op.f("pk_fax_access")),
    )
    op.create_table(
        "fax_settings",
        sa.Column("number_id", sa.String(length=32), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("fax_only", sa.Boolean(), nullable=False),
        sa.Column("mail_addresses", sa.JSON(), nullable=False),
        sa.Column("notification_rule_id", sa.String(length=32), nullable=True),
        sa.Column("sender_name", sa.String(length=60), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["notification_rule_id"],
            ["notification_rules.id"],
            name=op.f("fk_fax_settings_notification_rule_id"),
        ),
        sa.ForeignKeyConstraint(["number_id"], ["phone_numbers.id"], name=op.f("fk_fax_settings_number_id")),
        sa.PrimaryKeyConstraint("number_id", name=op.f("pk_fax_settings")),
    )
    op.create_table(
        "fax_submissions",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("number_id", sa.String(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=True),
        sa.Column("submitted_by", sa.String(length=32), nullable=False),
        sa.Column(
            "state",
            sa.Enum("preparing", "ready", "refused", name="submissionstate", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("refusal", sa.String(length=40), nullable=True),
        sa.Column("file_name", sa.String(length=100), nullable=False),
        sa.Column("document", sa.String(length=200), nullable=False),
        sa.Column("cover", sa.JSON(), nullable=True),
        sa.Column("pdf", sa.String(length=200), nullable=True),
        sa.Column("pdf_sha256", sa.String(length=64), nullable=True),
        sa.Column("tiff", sa.String(length=200), nullable=True),
        sa.Column("pages", sa.Integer(), nullable=True),
        sa.Column("send_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_fax_submissions_account_id")),
        sa.ForeignKeyConstraint(
            ["number_id"], ["phone_numbers.id"], name=op.f("fk_fax_submissions_number_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fax_submissions")),
    )
    op.create_index(
        "ix_fax_submissions_account_created",
        "fax_submissions",
        ["account_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(op.f("ix_fax_submissions_number_id"), "fax_submissions", ["number_id"], unique=False)
    op.create_table(
        "faxes",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("number_id", sa.String(length=32), nullable=False),
        sa.Column("submission_id", sa.String(length=32), nullable=True),
        sa.Column("call_id", sa.String(length=64), nullable=True),
        sa.Column(
            "direction",
            sa.Enum("in", "out", name="faxdirection", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "preparing",
                "waiting",
                "dialling",
                "sending",
                "sent",
                "failed",
                "cancelled",
                "received",
                "partial",
                name="faxstate",
                native_enum=False,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("other_party", sa.String(length=40), nullable=True),
        sa.Column(
            "other_party_kind",
            sa.Enum(
                "number",
                "withheld",
                "payphone",
                "unavailable",
                name="callerkind",
                native_enum=False,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("file_name", sa.String(length=100), nullable=False),
        sa.Column("pages", sa.Integer(), nullable=True),
        sa.Column("pages_done", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column(
            "result_class",
            sa.Enum(
                "ok",
                "damaged",
                "busy",
                "no_answer",
                "not_a_fax",
                "cut_off",
                "bad_line",
                "not_capable",
                "bad_number",
                "refused",
                "network",
                "unknown",
                "bad_document",
                "cancelled",
                "our_fault",
                name="faxresultclass",
                native_enum=False,
                length=20,
            ),
            nullable=True,
        ),
        sa.Column("result_code", sa.String(length=60), nullable=True),
        sa.Column("result_text", sa.String(length=300), nullable=True),
        sa.Column(
            "transport",
            sa.Enum("t38", "g711", name="faxtransport", native_enum=False, length=20),
            nullable=True,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.Column("remote_station", sa.String(length=40), nullable=False),
        sa.Column("rate", sa.Integer(), nullable=True),
        sa.Column("ecm", sa.Boolean(), nullable=True),
        sa.Column("resolution", sa.String(length=20), nullable=False),
        sa.Column("bad_rows", sa.Integer(), nullable=False),
        sa.Column("pdf", sa.String(length=200), nullable=True),
        sa.Column("pdf_sha256", sa.String(length=64), nullable=True),
        sa.Column("tiff", sa.String(length=200), nullable=True),
        sa.Column("cancel_asked", sa.Boolean(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("read_by", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_faxes_account_id")),
        sa.ForeignKeyConstraint(["number_id"], ["phone_numbers.id"], name=op.f("fk_faxes_number_id")),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["fax_submissions.id"], name=op.f("fk_faxes_submission_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_faxes")),
        sa.UniqueConstraint("call_id", name=op.f("uq_faxes_call_id")),
    )
    op.create_index("ix_faxes_account_started", "faxes", ["account_id", "started_at", "id"], unique=False)
    op.create_index("ix_faxes_kept_since", "faxes", ["account_id", "created_at"], unique=False)
    op.create_index(op.f("ix_faxes_number_id"), "faxes", ["number_id"], unique=False)
    op.create_index("ix_faxes_pdf", "faxes", ["pdf"], unique=False)
    op.create_index(op.f("ix_faxes_submission_id"), "faxes", ["submission_id"], unique=False)
    op.create_index("ix_faxes_tiff", "faxes", ["tiff"], unique=False)
    op.create_index("ix_faxes_unread", "faxes", ["account_id", "number_id", "read_at"], unique=False)
    op.create_table(
        "fax_attempts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("fax_id", sa.String(length=32), nullable=False),
        sa.Column("node", sa.String(length=20), nullable=False),
        sa.Column("first_page", sa.Integer(), nullable=False),
        sa.Column(
            "transport",
            sa.Enum("t38", "g711", name="faxtransport", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("ecm", sa.Boolean(), nullable=False),
        sa.Column("max_rate", sa.Integer(), nullable=False),
        sa.Column("fine", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pages_done", sa.Integer(), nullable=False),
        sa.Column(
            "result_class",
            sa.Enum(
                "ok",
                "damaged",
                "busy",
                "no_answer",
                "not_a_fax",
                "cut_off",
                "bad_line",
                "not_capable",
                "bad_number",
                "refused",
                "network",
                "unknown",
                "bad_document",
                "cancelled",
                "our_fault",
                name="faxresultclass",
                native_enum=False,
                length=20,
            ),
            nullable=True,
        ),
        sa.Column("result_code", sa.String(length=60), nullable=True),
        sa.Column(
            "mode", sa.Enum("t38", "g711", name="faxtransport", native_enum=False, length=20), nullable=True
        ),
        sa.Column("rate", sa.Integer(), nullable=True),
        sa.Column("remote_station", sa.String(length=40), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["fax_id"], ["faxes.id"], name=op.f("fk_fax_attempts_fax_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fax_attempts")),
    )
    op.create_index(op.f("ix_fax_attempts_fax_id"), "fax_attempts", ["fax_id"], unique=False)
    op.add_column(
        "accounts", sa.Column("fax_retention_days", sa.Integer(), server_default="180", nullable=True)
    )
    op.add_column("deliveries", sa.Column("fax_id", sa.String(length=32), nullable=True))
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.alter_column("rule_id", existing_type=sa.String(length=32), nullable=True)
    op.create_index("ix_deliveries_fax", "deliveries", ["fax_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_deliveries_fax", table_name="deliveries")
    op.execute("DELETE FROM deliveries WHERE rule_id IS NULL")
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.alter_column("rule_id", existing_type=sa.String(length=32), nullable=False)
        deliveries.drop_column("fax_id")
    op.drop_column("accounts", "fax_retention_days")
    op.drop_table("fax_attempts")
    op.drop_table("faxes")
    op.drop_table("fax_submissions")
    op.drop_table("fax_settings")
    op.drop_table("fax_access")
    op.drop_table("fax_peers")
