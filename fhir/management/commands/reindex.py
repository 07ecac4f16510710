"""`manage.py reindex`: index rows of what is stored, made anew (docs/reindex.md)."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from audit import recorder
from fhir import database, reindex, store
from fhir.definitions.structure import RESOURCE_TYPES, TYPE_NUMBER
from fhir.exceptions import Unavailable
from fhir.interactions import Context
from fhir.management import maintenance
from fhir.management.actor import command_context
from fhir.management.progress import Progress
from fhir.search import custom

INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Make the index rows of stored resources anew, beside a running server or without one. Without options: for "
        "the search parameters of clients that are not indexed yet, and jobs that were not finished. The same command "
        "in several processes shares the work; a stopped one goes on where it was."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        base = f"{settings.PUBLIC_BASE_URL}{settings.FHIR_BASE_PATH}"
        about_type = "all rows of a resource type; with --parameter, only that type"
        about_base = "the FHIR base that stored absolute references may begin with (default %(default)s)"
        parser.add_argument("--parameter", action="append", default=[], metavar="CODE", help="a client's parameter")
        parser.add_argument("--type", action="append", default=[], help=about_type)
        parser.add_argument("--all", action="store_true", help="all rows of all types")
        parser.add_argument("--base-url", default=base, help=about_base)

    def handle(self, *args: Any, **options: Any) -> None:
        self.quiet = options["verbosity"] == 0
        self.context = command_context("reindex")
        unknown = sorted(set(options["type"]) - set(RESOURCE_TYPES))
        if unknown:
            raise CommandError(_("FHIR R4 has no resource type “%(type)s”.") % {"type": unknown[0]})
        try:
            jobs = self.jobs(options["parameter"], options["type"], options["all"], options["base_url"])
            if not jobs:
                self.stdout.write(_("Everything is indexed."))
            # Counting and looking through whole types takes longer than a request may.
            database.fetch("SET statement_timeout = 0")
            changed = sum([self.run_job(job) for job in jobs])
            if changed:
                maintenance.settle()
        except Unavailable as error:
            raise CommandError(_("%(why)s The same command goes on from here.") % {"why": error}) from error
        except KeyboardInterrupt:
            text = _("Stopped. The same command goes on from here.")
            raise CommandError(text, returncode=INTERRUPTED) from None

    def jobs(self, codes: list[str], types: list[str], everything: bool, base_url: str) -> list[UUID]:
        """What is to be done. Raises CommandError for parameters that there are not."""
        if codes:
            names = _named(codes, types)
            return [self._begin(_types(names), names, base_url)]
        if everything or types:
            return [self._begin(types or RESOURCE_TYPES, (), base_url)]
        reindex.begin_for_new(self.context.scope.user_id, _audit_row(self.context), again=True)
        return [job.id for job in reindex.open_jobs()]

    def _begin(self, types: Any, names: Any, base_url: str) -> UUID:
        return reindex.begin(
            types,
            names,
            base_url=base_url,
            requested_by=self.context.scope.user_id,
            audit=_audit_row(self.context, *types, *names),
            wait=reindex.SETTLE_SECONDS if names else 0.0,
        )

    def run_job(self, job_id: UUID) -> int:
        """Works on a job until it has ended, whoever does the last of it; how many resources were changed."""
        begun = time.monotonic()
        with Progress(sys.stderr, "reindex", quiet=self.quiet) as progress:

            def show(seen: int = 0, changed: int = 0) -> None:
                job = reindex.find(job_id)
                progress.total = None if job is None else job.total
                looked, written = reindex.done(job_id)
                rate = looked / max(0.001, time.monotonic() - begun)
                progress.at(looked, _("%(changed)d changed, %(rate)d/s") % {"changed": written, "rate": rate})

            while not reindex.work(job_id, progress=show):
                show()
                time.sleep(0.5)
            show()
        job = reindex.find(job_id)
        if job is None or job.cancelled or job.failed:
            raise CommandError(_("The job was cancelled, or it failed elsewhere; the log of that server says why."))
        seen, changed = reindex.done(job_id)
        self.stdout.write(
            _("Resources looked at: %(seen)d; changed: %(changed)d.") % {"seen": seen, "changed": changed}
        )
        return changed


def _audit_row(context: Context, *about: str) -> recorder.Row:
    query = "$reindex" + ("?" + "&".join(about) if len(about) < len(RESOURCE_TYPES) and about else "")
    return context.audit("operation", bucket=None, status=202, at=store.now(), query=query)


def _named(codes: list[str], types: list[str]) -> list[str]:
    """The names of the custom parameters with these codes. Raises CommandError."""
    custom.refresh(now=True)
    found: list[str] = []
    for code in codes:
        names = [
            name
            for name, definition in custom.registry().definitions.items()
            if definition.parameter.code == code and (not types or definition.parameter.resource_type in types)
        ]
        if not names:
            raise CommandError(_("No client has defined a search parameter “%(code)s” here.") % {"code": code})
        found += names
    return found


def _types(names: list[str]) -> list[str]:
    known = custom.registry().definitions
    return sorted({known[name].parameter.resource_type for name in names}, key=lambda name: TYPE_NUMBER[name])
