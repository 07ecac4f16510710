"""Keeps gunicorn and the embedded PostgreSQL of a demo together: they start and stop as one."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from django.utils.translation import gettext as _

from clinical_records.embedded_postgres import Server

START_SECONDS = 90
STOP_SECONDS = 25
PORT_SECONDS = 5  # how long a server of a killed demo may take to give its port back
CHECK_SECONDS = 0.5
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class DemoStopped(Exception):
    """The demo cannot go on; the text says which part ended."""


class Supervisor:
    """One gunicorn on `port`, and `server` if the database is ours.

    It restarts nothing: what dies is named, and everything stops. SIGINT and SIGTERM stop it too.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.server: Server | None = None
        self.gunicorn: subprocess.Popen[bytes] | None = None
        self.asked_to_stop = False
        self.parent = os.getppid()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def catch_signals(self) -> None:
        """From now on signals ask for a stop, and interrupt nothing."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.asked_to_stop = True

        on_signals(stop)

    def launch(self, folder: Path) -> None:
        """Start gunicorn in `folder`, the project's. Raises DemoStopped."""
        wait_for_port(self.port)
        command = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "clinical_records.wsgi"]
        environment = {**os.environ, "PORT": str(self.port)}
        self.gunicorn = subprocess.Popen(
            command, cwd=folder, env=environment, start_new_session=True, preexec_fn=die_with_parent()
        )

    def wait_until_ready(self) -> None:
        """Until gunicorn answers, or a signal asks for a stop. Raises DemoStopped."""
        deadline = time.monotonic() + START_SECONDS
        while not self.asked_to_stop and not answers(f"{self.url}/health"):
            self.check()
            if time.monotonic() > deadline:
                raise DemoStopped(_("The server does not answer."))
            time.sleep(0.1)

    def wait(self, *, stop_with_parent: bool = False) -> None:
        """Until a signal asks for a stop. Raises DemoStopped when a part ends by itself."""
        while not self.asked_to_stop:
            self.check()
            if stop_with_parent and os.getppid() != self.parent:
                raise DemoStopped(_("The process that started this demo has ended."))
            time.sleep(CHECK_SECONDS)

    def check(self) -> None:
        """Raises DemoStopped if gunicorn or the database has ended."""
        status = self.gunicorn.poll() if self.gunicorn else None
        if status is not None:
            raise DemoStopped(_("gunicorn ended by itself (status %(status)s).") % {"status": status})
        if self.server and not self.server.running():
            raise DemoStopped(_("PostgreSQL ended by itself; its log is in %(log)s.") % {"log": self.server.place.log})

    def stop(self) -> None:
        """Stop gunicorn, then the database if nobody else uses it."""
        if self.gunicorn and self.gunicorn.poll() is None:
            self.gunicorn.terminate()
            try:
                self.gunicorn.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.gunicorn.pid, signal.SIGKILL)
                self.gunicorn.wait()
        if self.server:
            self.server.stop()


def on_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    """What SIGINT, SIGTERM and SIGHUP do; under nohup, SIGHUP goes on doing nothing."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def answers(url: str) -> bool:
    """Does a GET of `url` answer 200?"""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_for_port(port: int) -> None:
    """Until the port is free. Raises DemoStopped."""
    deadline = time.monotonic() + PORT_SECONDS
    while True:
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
                return
        except OSError as error:
            if time.monotonic() > deadline:
                text = _("Port %(port)s cannot be used (%(reason)s). Choose another: make demo PORT=8001")
                raise DemoStopped(text % {"port": port, "reason": error.strerror}) from error
            time.sleep(0.2)


def die_with_parent() -> Callable[[], None] | None:
    """What makes a child end at once when this process is killed; None where the system has no such thing."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGINT)
