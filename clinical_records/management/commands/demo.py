"""`manage.py demo`: a server with demo charts and demo users, from nothing, and gone on Ctrl-C."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connections
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.demo import DEMO_USERS, create_demo_users
from accounts.models import User
from clinical_records import demo_data, embedded_postgres
from clinical_records.postgres_programs import NoPrograms
from clinical_records.postgres_server import PostgresError
from clinical_records.supervisor import DemoStopped, Supervisor, on_signals


class Command(BaseCommand):
    help = "Start PostgreSQL if no DATABASE_URL is given, migrate, generate charts, create demo users, and serve."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="TCP port of the server (default 8000)")
        parser.add_argument("--patients", type=int, default=50, help="patients with a chart (default 50)")
        parser.add_argument("--stop-with-parent", action="store_true", help="stop when the calling process ends")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO_MODE:
            raise CommandError("The demo needs DEMO_MODE=1: its users have passwords that everybody knows.")
        with translation.override(settings.LANGUAGE_CODE):
            self.run_demo(**options)

    def run_demo(self, *, port: int, patients: int, stop_with_parent: bool, **_options: Any) -> None:
        """Start all, wait, stop all. Raises CommandError, status 1, when a part fails or ends by itself."""
        on_signals(signal.default_int_handler)  # until there is a server to stop: KeyboardInterrupt
        supervisor = Supervisor(port)
        try:
            supervisor.server = self.start_database()
            self.prepare(patients)
            supervisor.catch_signals()
            self.serve(supervisor)
            if not supervisor.asked_to_stop:
                self.greet(supervisor.url)
            supervisor.wait(stop_with_parent=stop_with_parent)
            self.say(_("Stopping."))
        except DemoStopped as error:
            raise CommandError(str(error)) from error
        except OperationalError as error:
            raise CommandError(_("The database does not answer: %(error)s") % {"error": error}) from error
        except KeyboardInterrupt:
            self.say(_("Stopping."))
        finally:
            supervisor.stop()

    def start_database(self) -> embedded_postgres.Server | None:
        """Our own PostgreSQL, or None where DATABASE_URL names one."""
        if settings.DATABASE_URL:
            return None
        self.say(_("Starting PostgreSQL."))
        try:
            return embedded_postgres.start(settings.EMBEDDED_POSTGRES)
        except (PostgresError, NoPrograms) as error:
            raise CommandError(str(error)) from error

    def prepare(self, patients: int) -> None:
        """Tables, charts and users, as far as they are missing."""
        self.say(_("Preparing the database."))
        call_command("migrate", verbosity=0, interactive=False)
        if demo_data.patient_count() < patients:
            self.say(_("Generating the charts of %(count)s patients.") % {"count": patients})
            call_command("generate_charts", patients=patients)
        if not self.has_users():
            self.make_users()

    def has_users(self) -> bool:
        """Are the demo users there, and the patient linked to a chart if there are any?"""
        users = User.objects.filter(username__in=DEMO_USERS)
        linked = users.filter(username="paciente").exclude(fhir_user="").exists()
        return users.count() == len(DEMO_USERS) and (linked or not demo_data.patient_count())

    def make_users(self) -> None:
        """The demo users, with the passwords that are about to be shown."""
        linked = User.objects.filter(username="paciente").exclude(fhir_user="").exists()
        patient, practitioner = (None, None) if linked else demo_data.people_to_link()
        create_demo_users(patient, practitioner)
        connections.close_all()

    def serve(self, supervisor: Supervisor) -> None:
        """Start the server; while it compiles the definitions, bring users of an earlier run back to how they were."""
        self.say(_("Starting the server."))
        supervisor.launch(settings.BASE_DIR)
        self.make_users()
        supervisor.wait_until_ready()

    def greet(self, url: str) -> None:
        """The addresses and the logins."""
        pages, login = _("Pages"), _("Login")
        lines = [
            "",
            _("Clinical Records is ready. Ctrl-C stops it."),
            f"  {pages:<9} {url}/",
            f"  FHIR R4   {url}{settings.FHIR_BASE_PATH}",
            f"  {login:<9} POST {url}/auth/login",
            "",
            *(f"  {name:<9} {user.password:<12} {user.role.label}" for name, user in DEMO_USERS.items()),
            "",
        ]
        self.say("\n".join(lines))

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
