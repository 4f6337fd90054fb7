"""Add call details, and what is known of devices' logins."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ROLE = sa.Enum("caller", "callee", name="legrole", native_enum=False, length=20)
STATE = sa.Enum("pending", "verified", "failed", name="releasestate", native_enum=False, length=20)
FAILURE = sa.Enum("wrong_password", "unknown_device", name="loginfailure", native_enum=False, length=20)
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _details()
    _logins()
    _intruders()


def _details() -> None:
    op.create_table(
        "call_legs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("call_id", sa.String(length=64), nullable=False),
        sa.Column("node", sa.String(length=20), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=True),
        sa.Column("number_id", sa.String(length=32), nullable=True),
        sa.Column("number", sa.String(length=40), nullable=True),
        sa.Column("device_id", sa.String(length=32), nullable=True),
        sa.Column("device", sa.String(length=64), nullable=True),
        sa.Column("direction", sa.String(length=10), nullable=False),
        sa.Column("role", ROLE, nullable=False),
        sa.Column("other_party", sa.String(length=64), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("result", sa.String(length=20), nullable=False),
        sa.Column("cause", sa.Integer(), nullable=True),
        sa.Column("transfer", sa.String(length=10), nullable=True),
        sa.Column("destination_class", sa.String(length=40), nullable=True),
        sa.Column("end_seen", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_call_legs_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_call_legs")),
    )
    op.create_index("ix_call_legs_call", "call_legs", ["call_id", "started_at"])
    op.create_index("ix_call_legs_device", "call_legs", ["device_id", "started_at"])
    op.create_index("ix_call_legs_started", "call_legs", ["started_at"])
    op.create_table(
        "channel_events",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("node", sa.String(length=20), nullable=False),
        sa.Column("event", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channel_events")),
    )
    op.create_index(op.f("ix_channel_events_node"), "channel_events", ["node"])
    op.create_table(
        "channel_events_read",
        sa.Column("node", sa.String(length=20), nullable=False),
        sa.Column("inode", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("alive_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("node", name=op.f("pk_channel_events_read")),
    )


def _logins() -> None:
    op.create_table(
        "registrations",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("node", sa.String(length=20), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("uri", sa.String(length=400), nullable=False),
        sa.Column("user_agent", sa.String(length=300), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=True),
        sa.Column("reachable", sa.Boolean(), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.id"], name=op.f("fk_registrations_device_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registrations")),
        sa.UniqueConstraint("node", "device_id", "uri", name=op.f("uq_registrations_node_device_id_uri")),
    )
    op.create_index(op.f("ix_registrations_device_id"), "registrations", ["device_id"])
    op.create_table(
        "device_releases",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("sealed_old_password", sa.String(length=500), nullable=True),
        sa.Column("end_calls", sa.Boolean(), nullable=False),
        sa.Column("state", STATE, nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("contacts_removed", sa.Integer(), nullable=True),
        sa.Column("calls_ended", sa.Integer(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_device_releases_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_releases")),
    )
    op.create_index(op.f("ix_device_releases_account_id"), "device_releases", ["account_id"])
    op.create_index("ix_device_releases_device", "device_releases", ["device_id", "requested_at", "id"])
    op.create_table(
        "provisioning_links",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.id"], name=op.f("fk_provisioning_links_device_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provisioning_links")),
        sa.UniqueConstraint("digest", name=op.f("uq_provisioning_links_digest")),
    )
    op.create_index(op.f("ix_provisioning_links_device_id"), "provisioning_links", ["device_id"])


def _intruders() -> None:
    op.create_table(
        "failed_logins",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("node", sa.String(length=20), nullable=False),
        sa.Column("account_id", sa.String(length=32), nullable=True),
        sa.Column("device_id", sa.String(length=32), nullable=True),
        sa.Column("username", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("reason", FAILURE, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_failed_logins_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failed_logins")),
    )
    op.create_index("ix_failed_logins_account", "failed_logins", ["account_id", "first_at", "id"])
    op.create_index("ix_failed_logins_first", "failed_logins", ["first_at", "id"])
    op.create_index("ix_failed_logins_source", "failed_logins", ["address", "username", "last_at"])
    op.create_table(
        "blocked_addresses",
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_blocked_addresses")),
    )
    op.create_index(op.f("ix_blocked_addresses_until"), "blocked_addresses", ["until"])


def downgrade() -> None:
    for table in (
        "blocked_addresses",
        "failed_logins",
        "provisioning_links",
        "device_releases",
        "registrations",
        "channel_events_read",
        "channel_events",
        "call_legs",
    ):
        op.drop_table(table)
