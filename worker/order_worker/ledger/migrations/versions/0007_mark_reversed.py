"""What earlier releases undid says so.

In a transaction of its own, without a lock on a whole table: workers go on, and what they undo meanwhile is marked by
the trigger of 0005.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
oldest_code = "0004"
branch_labels = None
depends_on = None

UNDOES = {"refund": "charge", "cancel_shipment": "shipment", "release": "reservation", "unpack": "packing"}


def upgrade() -> None:
    """Mark it. Those releases undid an operation as a whole."""
    sqlite = op.get_context().dialect.name == "sqlite"
    for kind, name in UNDOES.items():
        target = f"json_extract(undo.params, '$.{name}')" if sqlite else f"undo.params ->> '{name}'"
        refund = "json_extract(undo.outcome, '$.refundID')" if sqlite else "undo.outcome ->> 'refundID'"
        op.execute(
            "UPDATE operations SET reversed_by = undo.operation_id FROM operations AS undo "  # noqa: S608
            f"WHERE undo.kind = '{kind}' AND undo.state = 'done' AND operations.operation_id = {target} "
            "AND operations.order_uid = undo.order_uid AND operations.state = 'done' "
            f"AND operations.reversed_by IS NULL AND (undo.kind <> 'refund' OR {refund} IS NOT NULL)"
        )
