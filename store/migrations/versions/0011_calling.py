"""Add calling out: classes of destinations, short numbers, lines."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outbound_settings",
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("classes", sa.JSON(), nullable=False),
        sa.Column("callback_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_outbound_settings_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_outbound_settings")),
    )
    op.create_table(
        "device_calling",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("short_number", sa.String(length=4), nullable=True),
        sa.Column("default_number_id", sa.String(length=32), nullable=True),
        sa.Column("hides_number", sa.Boolean(), nullable=False),
        sa.Column("classes", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.id"], name=op.f("fk_device_calling_device_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_device_calling_account_id")),
        sa.ForeignKeyConstraint(
            ["default_number_id"], ["phone_numbers.id"], name=op.f("fk_device_calling_default_number_id")
        ),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_device_calling")),
    )
    op.create_index(
        "uq_device_calling_short_number", "device_calling", ["account_id", "short_number"], unique=True
    )
    op.create_table(
        "trunks",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("uri", sa.String(length=200), nullable=False),
        sa.Column("accept", sa.JSON(), nullable=False),
        sa.Column("registers", sa.Boolean(), nullable=False),
        sa.Column("username", sa.String(length=100), nullable=True),
        sa.Column("sealed_password", sa.String(length=500), nullable=True),
        sa.Column("from_domain", sa.String(length=200), nullable=True),
        sa.Column(
            "did_location",
            sa.Enum(
                "request_uri", "to", "p_called_party_id", name="didlocation", native_enum=False, length=20
            ),
            nullable=False,
        ),
        sa.Column(
            "number_style",
            sa.Enum("national", "e164", name="numberstyle", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("codecs", sa.JSON(), nullable=False),
        sa.Column("t38", sa.Boolean(), nullable=False),
        sa.Column("emergency", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trunks")),
        sa.UniqueConstraint("name", name=op.f("uq_trunks_name")),
    )
    op.add_column("calls", sa.Column("destination_class", sa.String(length=20), nullable=True))
    op.create_table(
        "ring_plans",
        sa.Column("number_id", sa.String(length=32), nullable=False),
        sa.Column("in_turn", sa.Boolean(), nullable=False),
        sa.Column("ring_s", sa.Integer(), nullable=False),
        sa.Column("devices", sa.JSON(), nullable=False),
        sa.Column("unanswered_rule_id", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["number_id"], ["phone_numbers.id"], name=op.f("fk_ring_plans_number_id")),
        sa.ForeignKeyConstraint(
            ["unanswered_rule_id"], ["rusurepo_rules.id"], name=op.f("fk_ring_plans_unanswered_rule_id")
        ),
        sa.PrimaryKeyConstraint("number_id", name=op.f("pk_ring_plans")),
    )
    op.create_table(
        "blocked_callers",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("number_id", sa.String(length=32), nullable=True),
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
        sa.Column(
            "treatment",
            sa.Enum(
                "reject",
                "busy",
                "announcement",
                "rusurepo",
                name="treatment",
                native_enum=False,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_blocked_callers_account_id")),
        sa.ForeignKeyConstraint(
            ["number_id"], ["phone_numbers.id"], name=op.f("fk_blocked_callers_number_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blocked_callers")),
    )
    op.create_index(op.f("ix_blocked_callers_account_id"), "blocked_callers", ["account_id"])
    for option in ("sells_recording", "sells_rusurepo", "sells_fax"):
        op.add_column(
            "phone_numbers", sa.Column(option, sa.Boolean(), nullable=False, server_default=sa.true())
        )
    op.add_column("phone_numbers", sa.Column("channels", sa.Integer(), nullable=True))
    op.add_column("phone_numbers", sa.Column("line", sa.Integer(), nullable=True))
    # In the order in which they were registered, from 1.
    op.execute(
        "UPDATE phone_numbers SET line = (SELECT count(*) FROM phone_numbers AS other "
        "WHERE other.account_id = phone_numbers.account_id AND (other.created_at < phone_numbers.created_at "
        "OR (other.created_at = phone_numbers.created_at AND other.id <= phone_numbers.id)))"
    )


def downgrade() -> None:
    with op.batch_alter_table("phone_numbers") as numbers:
        for column in ("line", "channels", "sells_fax", "sells_rusurepo", "sells_recording"):
            numbers.drop_column(column)
    with op.batch_alter_table("calls") as calls:
        calls.drop_column("destination_class")
    op.drop_table("blocked_callers")
    op.drop_table("ring_plans")
    op.drop_table("trunks")
    op.drop_table("device_calling")
    op.drop_table("outbound_settings")
