"""Alembic's scripts: one step of the journal's tables each."""
