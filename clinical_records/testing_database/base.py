"""What Django looks for in a database backend."""

from __future__ import annotations

from django.db.backends.postgresql import base

from .creation import DatabaseCreation


class DatabaseWrapper(base.DatabaseWrapper):
    """PostgreSQL, with test databases of our own making."""

    creation_class = DatabaseCreation
