"""Alembic's scripts. They run when the store opens (store/state/migrate.py); nobody needs an alembic.ini.

To add one: write `versions/rNNNN_what.py` after the last, with its DDL spelled out (never the tables of
`schema`, which move on), and raise `migrate.HEAD`.
"""
