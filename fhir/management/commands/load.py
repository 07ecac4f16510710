"""`manage.py load`: files of resources and bundles into the store (docs/charts.md)."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fhir import database, ids, json, outcome
from fhir.exceptions import InvalidRequest, Unavailable
from fhir.interactions import Context
from fhir.management import maintenance, sources
from fhir.management.actor import command_context
from fhir.management.loader import Loader, Refusal
from fhir.management.loader import Progress as Done
from fhir.management.progress import Progress

SHOWN = 20
INTERRUPTED = 130
LOCK_SECONDS = 5.0
_LOCK = "SELECT pg_try_advisory_lock(%s::bigint)"
_UNLOCK = "SELECT pg_advisory_unlock(%s::bigint)"


class Command(BaseCommand):
    help = "Load FHIR resources and bundles from JSON or NDJSON files, gzipped or not, or from folders of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="a file, or a folder to be searched for them")
        parser.add_argument("--report", help="write what was refused there, one JSON object a line")
        parser.add_argument("--again", action="store_true", help="load files that were loaded before once more")
        parser.add_argument("--lenient", action="store_true", help="exit with 0 although something was refused")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            files = list(sources.files(options["files"]))
        except FileNotFoundError as error:
            raise CommandError(_("There is no %(file)s.") % {"file": error.args[0]}) from error
        self.shown, self.stored = 0, False
        self.context = command_context("load")
        total = Done()
        with ExitStack() as stack:
            self.report = _opened(options["report"], stack)
            for done in self.load_all(files, options["again"], quiet=options["verbosity"] == 0):
                total.created += done.created
                total.updated += done.updated
                total.refused += done.refused
        self.summarize(total, len(files))
        if total.refused and not options["lenient"]:
            sys.exit(1)

    def load_all(self, files: list[Path], again: bool, *, quiet: bool) -> Iterable[Done]:
        """File after file; what became of each."""
        try:
            for path in files:
                with Progress(sys.stderr, path.name, path.stat().st_size, quiet=quiet) as progress:
                    yield self.load_file(path, again, progress)
            if self.stored:
                maintenance.settle()
        except Unavailable as error:
            raise CommandError(_("%(why)s The same command goes on from here.") % {"why": error}) from error
        except KeyboardInterrupt:
            text = _("Stopped. The same command goes on from here.")
            raise CommandError(text, returncode=INTERRUPTED) from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from error

    def load_file(self, path: Path, again: bool, progress: Progress) -> Done:
        """One file, from where it was left."""
        digest = sources.digest(path)
        lock = ids.hash64("load/" + digest)
        _take(lock, path)
        try:
            return self._load_locked(path, digest, again, progress)
        finally:
            database.fetch(_UNLOCK, (lock,))

    def _load_locked(self, path: Path, digest: str, again: bool, progress: Progress) -> Done:
        refuse = _Refusals(self, path, self.context)
        loader = Loader(digest, str(path), self.context, refuse)
        if again:
            loader.forget()
        before = loader.resume()
        if before.finished:
            self.stdout.write(_("%(file)s was loaded before; --again loads it once more.") % {"file": path})
            return before
        if before.line:
            self.stdout.write(_("%(file)s: going on behind line %(line)d.") % {"file": path, "line": before.line})
        try:
            loader.load(sources.documents(path), lambda position: progress.at(position, _tally(loader.done)))
        except sources.DAMAGED:
            text = gettext_lazy("The compressed file is damaged from here on.")
            loader.fail(loader.done.line + 1, InvalidRequest(text, code="incomplete"))
        self.stored = True
        return loader.done

    def summarize(self, total: Done, files: int) -> None:
        """The last words."""
        text = _("Files: %(files)d. Created: %(created)d, updated: %(updated)d, refused: %(refused)d.")
        about = {"files": files, "created": total.created, "updated": total.updated, "refused": total.refused}
        self.stdout.write(text % about)


def _take(lock: int, path: Path) -> None:
    """Waits a little: PostgreSQL needs a moment to see that a killed process is gone. Raises CommandError."""
    until = time.monotonic() + LOCK_SECONDS
    while not database.fetch(_LOCK, (lock,))[0][0]:
        if time.monotonic() > until:
            raise CommandError(_("%(file)s is being loaded by another process.") % {"file": path})
        time.sleep(0.1)


class _Refusals:
    """Shows the first refusals, and writes all of them to the report."""

    def __init__(self, command: Command, path: Path, context: Context) -> None:
        self.command, self.path, self.context = command, path, context

    def __call__(self, refusal: Refusal) -> None:
        about = outcome.resource(refusal.error.issues, self.context.language)
        name = "/".join(filter(None, (refusal.type, refusal.id)))
        if self.command.report is not None:
            entry = {"file": str(self.path), "line": refusal.line, "part": refusal.part, "type": refusal.type,
                     "id": refusal.id, "status": refusal.error.status, "outcome": about}  # fmt: skip
            self.command.report.write(json.dumps(entry).decode() + "\n")
            self.command.report.flush()
        self.command.shown += 1
        if self.command.shown <= SHOWN:
            texts = "; ".join(_sentence(issue) for issue in about["issue"][:3])
            self.command.stderr.write(f"{self.path}:{refusal.line} {name}: {texts}")


def _sentence(issue: dict[str, Any]) -> str:
    where = f" [{', '.join(issue['expression'])}]" if "expression" in issue else ""
    return f"{issue.get('details', {}).get('text', issue['code'])}{where}"


def _tally(done: Done) -> str:
    return _("%(stored)d stored, %(refused)d refused") % {
        "stored": done.created + done.updated,
        "refused": done.refused,
    }


def _opened(report: str | None, stack: ExitStack) -> TextIO | None:
    try:
        return stack.enter_context(Path(report).open("a", encoding="utf-8")) if report else None
    except OSError as error:
        raise CommandError(f"{report}: {error.strerror}") from error
