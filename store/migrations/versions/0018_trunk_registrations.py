"""Add the state of trunks' registrations; a device's own time counts also where all ring at once."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

PLANS = sa.table(
    "ring_plans",
    sa.column("number_id", sa.String()),
    sa.column("in_turn", sa.Boolean()),
    sa.column("devices", sa.JSON()),
)
USUAL_TURN_S = 20


def upgrade() -> None:
    at = sa.DateTime(timezone=True)
    op.create_table(
        "trunk_registrations",
        sa.Column("trunk_id", sa.String(length=32), nullable=False),
        sa.Column("node", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("since", at, nullable=False),
        sa.Column("read_at", at, nullable=False),
        sa.ForeignKeyConstraint(
            ["trunk_id"], ["trunks.id"], name=op.f("fk_trunk_registrations_trunk_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trunk_id", "node", name=op.f("pk_trunk_registrations")),
    )
    # It meant nothing there until now.
    _set_times_of_devices_at_once(None)


def downgrade() -> None:
    op.drop_table("trunk_registrations")
    _set_times_of_devices_at_once(USUAL_TURN_S)


def _set_times_of_devices_at_once(ring_s: int | None) -> None:
    connection = op.get_bind()
    at_once = sa.select(PLANS.c.number_id, PLANS.c.devices).where(sa.not_(PLANS.c.in_turn))
    for number_id, devices in list(connection.execute(at_once)):
        timed = [{**one, "ring_s": ring_s} for one in devices]
        connection.execute(PLANS.update().where(PLANS.c.number_id == number_id).values(devices=timed))
