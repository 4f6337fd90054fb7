"""Add notification rules, services and deliveries."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notification_rules",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("mail_addresses", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_notification_rules_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_rules")),
        sa.UniqueConstraint("account_id", "name", name=op.f("uq_notification_rules_account_id_name")),
    )
    op.create_table(
        "notification_services",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("rule_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("label", sa.String(length=100), nullable=False),
        sa.Column("sealed_config", sa.Text(), nullable=False),
        sa.Column("broken_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("broken_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("broken_code", sa.String(length=40), nullable=True),
        sa.Column("broken_reason", sa.String(length=500), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["rule_id"], ["notification_rules.id"], name=op.f("fk_notification_services_rule_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_services")),
    )
    op.create_index(op.f("ix_notification_services_rule_id"), "notification_services", ["rule_id"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=True),
        sa.Column("number_id", sa.String(length=32), nullable=True),
        sa.Column("rule_id", sa.String(length=32), nullable=False),
        sa.Column("service_id", sa.String(length=32), nullable=True),
        sa.Column("address", sa.String(length=254), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("label", sa.String(length=254), nullable=False),
        sa.Column("lane", sa.String(length=100), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason_code", sa.String(length=40), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_deliveries_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index("ix_deliveries_account_created", "deliveries", ["account_id", "created_at", "id"])
    op.create_index("ix_deliveries_message", "deliveries", ["message_id"])
    # Not as a batch: SQLite cannot make a table anew while other tables' rows refer to it.
    op.execute(
        "ALTER TABLE rusurepo_rules ADD COLUMN notification_rule_id VARCHAR(32) "
        "CONSTRAINT fk_rusurepo_rules_notification_rule_id REFERENCES notification_rules (id)"
    )
    op.add_column("voice_messages", sa.Column("rule_id", sa.String(length=32), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("voice_messages") as messages:
        messages.drop_column("rule_id")
    with op.batch_alter_table("rusurepo_rules") as rules:
        rules.drop_constraint(op.f("fk_rusurepo_rules_notification_rule_id"), type_="foreignkey")
        rules.drop_column("notification_rule_id")
    op.drop_table("deliveries")
    op.drop_table("notification_services")
    op.drop_table("notification_rules")
