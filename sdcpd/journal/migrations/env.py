"""What alembic runs first: it takes the connection that it was handed.

One decision: the caller owns the transaction, so all steps happen together or not at all.
"""

from __future__ import annotations

from alembic import context

from sdcpd.journal.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
    transaction_per_migration=False,
)
context.run_migrations()
