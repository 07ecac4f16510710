"""`manage.py postgres start|stop|status|remove`: the embedded PostgreSQL by hand, for work on the project."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from clinical_records import embedded_postgres
from clinical_records.postgres_programs import NoPrograms
from clinical_records.postgres_server import PostgresError


class Command(BaseCommand):
    help = "Start or stop the embedded PostgreSQL, say how to connect to it, or remove it with all its data."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["start", "stop", "status", "remove"])

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        home = settings.EMBEDDED_POSTGRES
        try:
            if action == "status":
                self.status(embedded_postgres.place(home))
                return
            if action == "remove":
                embedded_postgres.remove(home)
                return
            server = embedded_postgres.start(home)
        except (PostgresError, NoPrograms) as error:
            raise CommandError(str(error)) from error
        if action == "start":
            os.close(server.lock)  # it goes on without us
            self.status(server.place)
        elif not server.stop():
            raise CommandError("Another process uses it.")

    def status(self, place: embedded_postgres.Place) -> None:
        """One line: the state and the connection string."""
        state = "runs" if embedded_postgres.is_running(place) else "does not run"
        self.stdout.write(f"PostgreSQL {state}: {embedded_postgres.connection_string(place)}")
