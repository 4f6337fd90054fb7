"""Make the tables of the first version."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
    )
    op.create_table(
        "call_journal",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_call_journal")),
    )
    op.create_index("ix_call_journal_call_id", "call_journal", ["call_id"])

    op.create_table(
        "part_reports",
        sa.Column("part", sa.String(length=60), nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("part", name=op.f("pk_part_reports")),
    )
    op.create_table(
        "revisions",
        sa.Column("scope", sa.String(length=20), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_revisions")),
    )
    op.create_table(
        "devices",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("username", sa.String(length=32), nullable=False),
        sa.Column("sealed_password", sa.String(length=500), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_devices_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("username", name=op.f("uq_devices_username")),
    )
    op.create_index("ix_devices_account_id", "devices", ["account_id"])

    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=True),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column(
            "state",
            sa.Enum("waiting", "running", "done", "dead", name="jobstate", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("run_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("leased_by", sa.String(length=100), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(length=2000), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_jobs_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index("ix_jobs_ready", "jobs", ["kind", "state", "run_at"])

    op.create_table(
        "phone_numbers",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("e164", sa.String(length=16), nullable=False),
        sa.Column(
            "use", sa.Enum("voice", "fax", name="numberuse", native_enum=False, length=20), nullable=False
        ),
        sa.Column("display_name", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_phone_numbers_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_phone_numbers")),
        sa.UniqueConstraint("e164", name=op.f("uq_phone_numbers_e164")),
    )
    op.create_index("ix_phone_numbers_account_id", "phone_numbers", ["account_id"])

    op.create_table(
        "tokens",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=True),
        sa.Column(
            "role",
            sa.Enum("operator", "administrator", name="role", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(role = 'operator') = (account_id IS NULL)", name=op.f("ck_tokens_operator_has_no_account")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_tokens_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
    )
    op.create_table(
        "calls",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("node", sa.String(length=20), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=True),
        sa.Column("number_id", sa.String(length=32), nullable=True),
        sa.Column("device_id", sa.String(length=32), nullable=True),
        sa.Column("direction", sa.String(length=10), nullable=False),
        sa.Column("dialled", sa.String(length=40), nullable=False),
        sa.Column("caller", sa.String(length=40), nullable=True),
        sa.Column(
            "caller_kind",
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
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", sa.String(length=40), nullable=True),
        sa.Column(
            "message_outcome",
            sa.Enum(
                "kept", "nothing_said", "unreadable", name="messageoutcome", native_enum=False, length=20
            ),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_calls_account_id")),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name=op.f("fk_calls_device_id")),
        sa.ForeignKeyConstraint(["number_id"], ["phone_numbers.id"], name=op.f("fk_calls_number_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
    )
    op.create_index("ix_calls_account_started", "calls", ["account_id", "started_at", "id"])
    op.create_index("ix_calls_node", "calls", ["node"])
    op.create_index("ix_calls_number_started", "calls", ["number_id", "started_at"])
    op.create_index("ix_calls_started_at", "calls", ["started_at"])

    op.create_table(
        "prompts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("number_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("text", sa.String(length=2000), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("duration_s", sa.Double(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_prompts_account_id")),
        sa.ForeignKeyConstraint(["number_id"], ["phone_numbers.id"], name=op.f("fk_prompts_number_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompts")),
    )
    op.create_index("ix_prompts_account_id", "prompts", ["account_id"])
    op.create_index("ix_prompts_number_id", "prompts", ["number_id"])

    op.create_table(
        "voice_messages",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("number_id", sa.String(length=32), nullable=False),
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("caller", sa.String(length=40), nullable=True),
        sa.Column(
            "caller_kind",
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
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_s", sa.Double(), nullable=False),
        sa.Column(
            "ended_by",
            sa.Enum(
                "hash", "limit", "hangup", "silence", "error", name="endedby", native_enum=False, length=20
            ),
            nullable=False,
        ),
        sa.Column(
            "source",
            sa.Enum("control_plane", "dialplan", name="messagesource", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("media", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_voice_messages_account_id")),
        sa.ForeignKeyConstraint(
            ["number_id"], ["phone_numbers.id"], name=op.f("fk_voice_messages_number_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_voice_messages")),
        sa.UniqueConstraint("call_id", name=op.f("uq_voice_messages_call_id")),
    )
    op.create_index("ix_voice_messages_account_started", "voice_messages", ["account_id", "started_at", "id"])
    op.create_index("ix_voice_messages_number_id", "voice_messages", ["number_id"])

    op.create_table(
        "rusurepo_rules",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("number_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("start_prompt_id", sa.String(length=32), nullable=False),
        sa.Column("end_prompt_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_rusurepo_rules_account_id")),
        sa.ForeignKeyConstraint(
            ["end_prompt_id"], ["prompts.id"], name=op.f("fk_rusurepo_rules_end_prompt_id")
        ),
        sa.ForeignKeyConstraint(
            ["number_id"], ["phone_numbers.id"], name=op.f("fk_rusurepo_rules_number_id")
        ),
        sa.ForeignKeyConstraint(
            ["start_prompt_id"], ["prompts.id"], name=op.f("fk_rusurepo_rules_start_prompt_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rusurepo_rules")),
        sa.UniqueConstraint("number_id", "name", name=op.f("uq_rusurepo_rules_number_id_name")),
    )
    op.create_index("ix_rusurepo_rules_account_id", "rusurepo_rules", ["account_id"])
    op.create_index("ix_rusurepo_rules_number_id", "rusurepo_rules", ["number_id"])

    op.create_table(
        "rusurepo_settings",
        sa.Column("number_id", sa.String(length=32), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("rule_id", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["number_id"], ["phone_numbers.id"], name=op.f("fk_rusurepo_settings_number_id")
        ),
        sa.ForeignKeyConstraint(
            ["rule_id"], ["rusurepo_rules.id"], name=op.f("fk_rusurepo_settings_rule_id")
        ),
        sa.PrimaryKeyConstraint("number_id", name=op.f("pk_rusurepo_settings")),
    )


def downgrade() -> None:
    op.drop_table("rusurepo_settings")
    op.drop_table("rusurepo_rules")
    op.drop_table("voice_messages")
    op.drop_table("prompts")
    op.drop_table("calls")
    op.drop_table("tokens")
    op.drop_table("phone_numbers")
    op.drop_table("jobs")
    op.drop_table("devices")
    op.drop_table("revisions")
    op.drop_table("part_reports")
    op.drop_table("call_journal")
    op.drop_table("accounts")
