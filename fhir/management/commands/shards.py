"""`manage.py shards …`: where records lie, whether that is right, changes of the cluster (docs/distribution.md)."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from types import ModuleType
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import translation
from django.utils.translation import gettext as _

from fhir.exceptions import FhirError, Unavailable
from fhir.management.shards import Call, add_worker, drain, rebalance, registered, resize, status, verify, where

INTERRUPTED = 130
ACTIONS: dict[str, ModuleType] = {
    "status": status,
    "where": where,
    "verify": verify,
    "add-worker": add_worker,
    "drain": drain,
    "rebalance": rebalance,
    "resize": resize,
    "registered": registered,
}


class Command(BaseCommand):
    help = "Show where the records lie and check it; change the nodes and shards of a Citus cluster."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parts = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for name, module in ACTIONS.items():
            part = parts.add_parser(name, help=module.HELP, description=module.HELP)
            part.add_argument("--json", action="store_true", help="a JSON object instead of tables")
            codes = [code for code, _name in settings.LANGUAGES]
            part.add_argument("--lang", choices=codes, help="language of the texts (default: from LANG)")
            module.add_arguments(part)

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        with translation.override(options["lang"] or _language()):
            result = self.result(ACTIONS[action], Call(options, quiet=options["verbosity"] == 0))
            shown = json.dumps(result, ensure_ascii=False) if options["json"] else ACTIONS[action].text(result)
        self.stdout.write(shown)
        self.stdout.flush()
        if result["problems"]:
            sys.exit(1)

    def result(self, module: ModuleType, call: Call) -> dict[str, Any]:
        """What the subcommand finds. Raises CommandError with a sentence for each thing that may go wrong."""
        try:
            found: dict[str, Any] = module.run(call)
        except Unavailable as error:
            raise CommandError(_reason(error)) from error
        except FhirError as error:
            raise CommandError(str(error)) from error
        except psycopg.Error as error:
            said = (error.diag.message_primary or str(error), error.diag.message_hint)
            raise CommandError("\n".join(filter(None, said))) from error
        except KeyboardInterrupt:
            raise CommandError(_("Stopped."), returncode=INTERRUPTED) from None
        return found


def _reason(error: Unavailable) -> str:
    """The operator may know what a client may not: what PostgreSQL says."""
    cause = error.__cause__
    return f"{error} ({str(cause).strip()})" if cause is not None else str(error)


def _language() -> str:
    """That of the environment (LC_ALL, LC_MESSAGES, LANG), if it is one of ours; else the default of the settings."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        code = os.environ.get(name, "").partition("_")[0].partition(".")[0]
        if code in dict(settings.LANGUAGES):
            return code
    return settings.LANGUAGE_CODE
