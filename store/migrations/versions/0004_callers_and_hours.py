"""Add whitelists, schedules, and what rules say of callers."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "whitelists",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("number_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_whitelists_account_id")),
        sa.ForeignKeyConstraint(["number_id"], ["phone_numbers.id"], name=op.f("fk_whitelists_number_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_whitelists")),
        sa.UniqueConstraint("number_id", "name", name=op.f("uq_whitelists_number_id_name")),
    )
    op.create_index(op.f("ix_whitelists_account_id"), "whitelists", ["account_id"])
    op.create_index(op.f("ix_whitelists_number_id"), "whitelists", ["number_id"])
    op.create_table(
        "whitelist_entries",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("whitelist_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "number",
                "prefix",
                "withheld",
                "payphone",
                "unavailable",
                name="entrykind",
                native_enum=False,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("value", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.ForeignKeyConstraint(
            ["whitelist_id"], ["whitelists.id"], name=op.f("fk_whitelist_entries_whitelist_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_whitelist_entries")),
        sa.UniqueConstraint(
            "whitelist_id", "kind", "value", name=op.f("uq_whitelist_entries_whitelist_id_kind_value")
        ),
    )
    # No batch: SQLite would make the table anew, and cannot drop one whose rows others refer to.
    op.execute(
        "ALTER TABLE rusurepo_rules ADD COLUMN whitelist_id VARCHAR(32) "
        "CONSTRAINT fk_rusurepo_rules_whitelist_id REFERENCES whitelists (id)"
    )
    op.add_column(
        "rusurepo_rules", sa.Column("ring_first_s", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column(
        "rusurepo_rules",
        sa.Column(
            "whitelisted_unanswered",
            sa.Enum("rusurepo", "announcement", name="whenunanswered", native_enum=False, length=20),
            nullable=False,
            server_default="rusurepo",
        ),
    )
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("number_id", sa.String(length=32), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("overridden", sa.Boolean(), nullable=False),
        sa.Column("override_rule_id", sa.String(length=32), nullable=True),
        sa.Column("override_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_schedules_account_id")),
        sa.ForeignKeyConstraint(["number_id"], ["phone_numbers.id"], name=op.f("fk_schedules_number_id")),
        sa.ForeignKeyConstraint(
            ["override_rule_id"], ["rusurepo_rules.id"], name=op.f("fk_schedules_override_rule_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
        sa.UniqueConstraint("number_id", name=op.f("uq_schedules_number_id")),
    )
    op.create_index(op.f("ix_schedules_account_id"), "schedules", ["account_id"])


def downgrade() -> None:
    op.drop_table("schedules")
    with op.batch_alter_table("rusurepo_rules") as rules:
        rules.drop_constraint(op.f("fk_rusurepo_rules_whitelist_id"), type_="foreignkey")
        rules.drop_column("whitelisted_unanswered")
        rules.drop_column("ring_first_s")
        rules.drop_column("whitelist_id")
    op.drop_table("whitelist_entries")
    op.drop_table("whitelists")
