"""The first tables.

One decision: a migration never imports today's tables; it says by itself what was there and what is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _create(name: str, *columns: sa.Column[object]) -> None:
    op.create_table(
        name,
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("place", sa.BigInteger, nullable=False),
        *columns,
        sa.Column("body", sa.Text, nullable=False),
    )


def upgrade() -> None:
    """Make all tables."""
    for name in ("printers", "plates", "wear", "keys"):
        _create(name)
    _create(
        "jobs",
        sa.Column("printer", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("ended", sa.Double),
    )
    _create(
        "prints",
        sa.Column("printer", sa.Text, nullable=False),
        sa.Column("job", sa.Text),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("ended", sa.Double),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("layers", sa.BigInteger, nullable=False),
        sa.Column("printed_s", sa.Double),
        sa.Column("exposure_s", sa.Double),
        sa.Column("volume_ml", sa.Double),
    )
    op.create_index("prints_started", "prints", ["started", "id"])
    op.create_index("prints_printer", "prints", ["printer", "started", "id"])
    op.create_index("prints_result", "prints", ["result"])
