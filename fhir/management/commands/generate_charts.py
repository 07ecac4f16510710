"""`manage.py generate_charts`: demo charts into the database, or into a file (docs/charts.md)."""

from __future__ import annotations

import gzip
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from fhir import json
from fhir.charts import Resource, chart, facility
from fhir.exceptions import FhirError
from fhir.interactions.bulk import store_resources
from fhir.management import maintenance
from fhir.management.actor import command_context
from fhir.management.progress import Progress

DEFAULT_SEED = 1


class Command(BaseCommand):
    help = "Generate demo charts of people who do not exist. The same seed gives the same charts, ids included."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--patients", type=int, default=50, help="number of charts (default 50)")
        parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help=f"default {DEFAULT_SEED}")
        parser.add_argument("--output", help="write NDJSON there (.gz compresses, - is stdout), not to the database")

    def handle(self, *args: Any, **options: Any) -> None:
        patients, seed, output = options["patients"], options["seed"], options["output"]
        if patients < 0:
            raise CommandError(_("--patients cannot be negative."))
        counts: Counter[str] = Counter()
        quiet = options["verbosity"] == 0
        with Progress(sys.stderr, _("Patients"), patients, quiet=quiet) as progress:
            resources = self.generated(patients, seed, counts, progress)
            report = self.write(resources, output) if output else self.store(resources)
        if output == "-":
            return
        if not quiet:
            self.stdout.write("\n".join(f"{name:<22} {count:>9}" for name, count in sorted(counts.items())))
        self.stdout.write(report)

    def generated(self, patients: int, seed: int, counts: Counter[str], progress: Progress) -> Iterator[Resource]:
        """The shared resources, then chart after chart."""
        for index in range(-1, patients):
            resources = chart(seed, index) if index >= 0 else facility(seed)
            counts.update(resource["resourceType"] for resource in resources)
            yield from resources
            if index >= 0:
                progress.advance(note=_("%(count)d resources") % {"count": counts.total()})

    def write(self, resources: Iterator[Resource], output: str) -> str:
        """Into an NDJSON file; what to say about it."""
        count = 0
        try:
            with _opened(output) as file:
                for resource in resources:
                    file.write(json.dumps(resource) + b"\n")
                    count += 1
        except OSError as error:
            raise CommandError(f"{output}: {error.strerror}") from error
        return _("%(count)d resources written to %(file)s.") % {"count": count, "file": output}

    def store(self, resources: Iterator[Resource]) -> str:
        """Into the database, those that exist left as they are; what to say about it."""
        try:
            report = store_resources(resources, command_context("generate_charts"))
        except FhirError as error:
            raise CommandError(str(error)) from error
        if report.refused:
            resource, refusal = report.refused[0]
            name = f"{resource['resourceType']}/{resource['id']}"
            raise CommandError(
                _("%(count)d resources were refused, the first is %(name)s: %(why)s")
                % {"count": len(report.refused), "name": name, "why": refusal}
            )
        if report.stored:
            maintenance.settle()
        return _("%(stored)d resources stored, %(skipped)d were there already.") % {
            "stored": report.stored,
            "skipped": report.skipped,
        }


@contextmanager
def _opened(output: str) -> Iterator[BinaryIO]:
    if output == "-":
        yield sys.stdout.buffer
        return
    with Path(output).open("wb") as file:
        if not output.endswith(".gz"):
            yield file
            return
        # No name and no time in the header: the same charts are the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6) as packed:
            yield packed  # type: ignore[misc]
