"""Add the phonebook, events and kept answers."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    at = sa.DateTime(timezone=True)
    op.create_table(
        "phonebook_entries",
        sa.Column("id", sa.String(length=32), nullable=False),
        _account(),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("reading", sa.String(length=100), nullable=False),
        sa.Column("company", sa.String(length=100), nullable=False),
        sa.Column("memo", sa.String(length=1000), nullable=False),
        sa.Column("sort_key", _exact(400), nullable=False),
        sa.Column("words", _exact(800), nullable=False),
        sa.Column("created_at", at, nullable=False),
        sa.Column("updated_at", at, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_phonebook_entries_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_phonebook_entries")),
    )
    op.create_index(
        "ix_phonebook_entries_search", "phonebook_entries", ["account_id", "sort_key", "id", "words"]
    )
    op.create_table(
        "phonebook_numbers",
        sa.Column("entry_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        _account(),
        sa.Column("label", sa.String(length=20), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"],
            ["phonebook_entries.id"],
            name=op.f("fk_phonebook_numbers_entry_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_phonebook_numbers_account_id")),
        sa.PrimaryKeyConstraint("entry_id", "position", name=op.f("pk_phonebook_numbers")),
    )
    op.create_index("ix_phonebook_numbers_number", "phonebook_numbers", ["account_id", "number"])
    op.create_table(
        "phonebook_imports",
        sa.Column("id", sa.String(length=32), nullable=False),
        _account(),
        sa.Column("file_name", sa.String(length=100), nullable=True),
        sa.Column("encoding", sa.String(length=20), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("created_at", at, nullable=False),
        sa.Column("applied_at", at, nullable=True),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("updated", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_phonebook_imports_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_phonebook_imports")),
    )
    op.create_index(op.f("ix_phonebook_imports_account_id"), "phonebook_imports", ["account_id"])
    op.create_index(op.f("ix_phonebook_imports_created_at"), "phonebook_imports", ["created_at"])
    op.create_table(
        "phonebook_contracts",
        _account(),
        sa.Column("since", at, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_phonebook_contracts_account_id")
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_phonebook_contracts")),
    )
    op.create_table(
        "device_phonebooks",
        sa.Column("device_id", sa.String(length=32), nullable=False),
        sa.Column("standby_type", sa.String(length=20), nullable=False),
        sa.Column("updated_at", at, nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.id"], name=op.f("fk_device_phonebooks_device_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_device_phonebooks")),
    )
    op.create_table(
        "phonebook_links",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("device_id", sa.String(length=32), nullable=False),
        _account(),
        sa.Column("expires_at", at, nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.id"], name=op.f("fk_phonebook_links_device_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_phonebook_links_account_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_phonebook_links")),
    )
    op.create_index(op.f("ix_phonebook_links_device_id"), "phonebook_links", ["device_id"])
    op.create_index(op.f("ix_phonebook_links_expires_at"), "phonebook_links", ["expires_at"])
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        _account(),
        sa.Column("at", at, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_events_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_account", "events", ["account_id", "id"])
    op.create_index(op.f("ix_events_at"), "events", ["at"])
    op.create_table(
        "idempotency_keys",
        sa.Column("token_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("sealed_answer", sa.Text(), nullable=True),
        sa.Column("created_at", at, nullable=False),
        sa.PrimaryKeyConstraint("token_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"])


def _account() -> sa.Column[str]:
    return sa.Column("account_id", sa.String(length=32), nullable=False)


def _exact(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def downgrade() -> None:
    for table in (
        "idempotency_keys",
        "events",
        "phonebook_links",
        "device_phonebooks",
        "phonebook_contracts",
        "phonebook_imports",
        "phonebook_numbers",
        "phonebook_entries",
    ):
        op.drop_table(table)
