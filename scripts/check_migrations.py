"""Do the migrations say what the models say? Starts the tests' PostgreSQL, since Django asks it what was applied."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinical_records.test_settings")

import django
from django.conf import settings
from django.core.management import call_command

from clinical_records import embedded_postgres


def main() -> None:
    """Exits with status 1, naming what is missing, if makemigrations would write something."""
    django.setup()
    own = not settings.DATABASE_URL
    server = embedded_postgres.start(settings.EMBEDDED_POSTGRES, durable=False) if own else None
    try:
        call_command("makemigrations", check_changes=True, dry_run=True)
    finally:
        if server:
            server.stop()


if __name__ == "__main__":
    main()
