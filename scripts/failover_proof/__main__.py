"""python -m scripts.failover_proof [--only a,b] [--output FOLDER]; see docs/failover.md.

Exit status 0: every scenario that was asked for was played and passed. 1: a criterion was missed. 2: a scenario could
not be played here.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

LOCAL, PATRONI = "abe", "cd"
OUTPUT = Path(__file__).resolve().parents[2] / "docs" / "failover"
MISSED, INCOMPLETE = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays, writes the report, says what became of it."""
    options = _options(arguments)
    _set_up_django()
    from . import report
    from .run import Run

    started = time.monotonic()
    run = Run(options)
    for names, play in ((LOCAL, run.local), (PATRONI, run.patroni)):
        wanted = [name for name in names if name in options.only]
        if wanted:
            play(wanted)
    run.report.seconds = time.monotonic() - started
    print(report.as_markdown(run.report), flush=True)
    if options.output:
        report.write(run.report, options.output)
    if run.report.failed:
        return MISSED
    return 0 if run.report.passed else INCOMPLETE


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.failover_proof", description=__doc__)
    parser.add_argument("--only", default=LOCAL + PATRONI, help="scenarios, of a b c d e (default: all)")
    parser.add_argument("--dead", type=float, default=10.0, help="a: seconds until the worker is started again")
    parser.add_argument("--frozen", type=float, default=15.0, help="b: seconds until the worker is thawed")
    parser.add_argument("--clients", type=int, default=3, help="writers, and readers, for each worker")
    parser.add_argument("--background", type=int, default=20, help="generated charts that are there besides")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first-port", type=int, default=21000, help="c, d: free ports are taken from here on")
    parser.add_argument("--etcd", default=shutil.which("etcd"), help="etcd's program (default: from PATH)")
    parser.add_argument("--patroni", default=shutil.which("patroni"), help="Patroni's program (default: from PATH)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"folder of the report (default {OUTPUT.name})")
    parser.add_argument("--no-file", dest="output", action="store_const", const=None, help="only print the report")
    parser.add_argument("--logs", type=Path, help="folder for the logs of the servers under test")
    options = parser.parse_args(arguments)
    options.only = [name for name in options.only if name != ","]
    if unknown := set(options.only) - set(LOCAL + PATRONI):
        parser.error(f"no scenario {', '.join(sorted(unknown))}")
    return options


def _set_up_django() -> None:
    """For the parts of the project that the proof uses; the server under test has settings of its own."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinical_records.settings")
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(48))
    import django

    django.setup()


if __name__ == "__main__":
    sys.exit(main())
