"""`manage.py demo`: it serves, stops all that it started, and comes back after any of its processes is killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from django.conf import settings

from clinical_records import embedded_postgres
from clinical_records.testing import free_port

READY_SECONDS = 120
STOP_SECONDS = 60


class Demo:
    """A demo in a process of its own, with its own data folder."""

    def __init__(self, var: Path) -> None:
        self.home, self.port = var / "postgres", free_port()
        self.output = var / "output"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_URL")}
        environment |= {"DEMO_MODE": "1", "CLINICAL_RECORDS_VAR": str(var), "LC_ALL": "C.UTF-8"}
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        environment.pop("SECRET_KEY", None)
        command = [sys.executable, "manage.py", "demo", "--port", str(self.port), "--patients", "0"]
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                command, cwd=settings.BASE_DIR, env=environment, stdout=output, stderr=output, start_new_session=True
            )

    def ready(self) -> Demo:
        """Waits until it has greeted."""
        deadline = time.monotonic() + READY_SECONDS
        while "auditor123" not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)
        return self

    def said(self) -> str:
        return self.output.read_text()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(STOP_SECONDS)

    def log_in(self, username: str, password: str) -> httpx.Response:
        url = f"http://localhost:{self.port}/auth/login"
        return httpx.post(url, data={"username": username, "password": password}, timeout=30)

    def gunicorn(self) -> psutil.Process:
        return next(
            child for child in psutil.Process(self.process.pid).children() if "gunicorn" in str(child.cmdline())
        )

    def postmaster(self) -> psutil.Process:
        pid = (embedded_postgres.place(self.home).data / "postmaster.pid").read_text().split("\n")[0]
        return psutil.Process(int(pid))


@pytest.fixture
def var(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    embedded_postgres.remove(tmp_path / "postgres")


def gone(process: psutil.Process, seconds: float = 30) -> bool:
    """Does the process end within this time? A zombie has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


def test_it_serves_and_a_signal_stops_all_of_it(var: Path) -> None:
    demo = Demo(var).ready()
    assert httpx.get(f"http://localhost:{demo.port}/health", timeout=30).json()["status"] == "ok"
    for username, password in re.findall(r"^  (\w+) +(\w+123)\b", demo.said(), re.MULTILINE):
        assert demo.log_in(username, password).status_code == 200, username
    assert demo.log_in("admin", "wrong").status_code == 401
    processes = [demo.gunicorn(), *demo.gunicorn().children(), demo.postmaster()]
    assert demo.stop(signal.SIGINT) == 0, demo.said()
    assert all(gone(process, 1) for process in processes)


@pytest.mark.parametrize("word", ["Iniciando PostgreSQL", "Preparando", "Iniciando el servidor"])
def test_a_signal_at_any_time_leaves_nothing_behind(var: Path, word: str) -> None:
    demo = Demo(var)
    deadline = time.monotonic() + READY_SECONDS
    while word not in demo.said():
        assert time.monotonic() < deadline, demo.said()
        time.sleep(0.02)
    time.sleep(0.2)
    demo.stop()
    assert not embedded_postgres.is_running(embedded_postgres.place(demo.home))
    assert not [
        one
        for one in psutil.process_iter(["environ"])
        if (one.info["environ"] or {}).get("CLINICAL_RECORDS_VAR") == str(var)
    ]


def test_what_dies_is_named_and_the_next_run_recovers(var: Path) -> None:
    demo = Demo(var).ready()
    demo.gunicorn().kill()
    assert demo.process.wait(STOP_SECONDS) == 1
    assert "gunicorn terminó por sí solo" in demo.said()

    demo = Demo(var).ready()
    demo.postmaster().kill()
    assert demo.process.wait(STOP_SECONDS) == 1
    assert "PostgreSQL terminó por sí solo" in demo.said()

    demo = Demo(var).ready()
    gunicorn, postmaster = demo.gunicorn(), demo.postmaster()
    demo.process.kill()
    demo.process.wait()
    assert gone(gunicorn), "gunicorn outlives the demo"

    demo = Demo(var).ready()
    assert demo.postmaster() == postmaster, "the server that was left running is taken over"
    assert demo.stop() == 0
    assert gone(postmaster, 1)


def run(var: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A demo that does not come to serve."""
    return subprocess.run(
        [sys.executable, "manage.py", "demo", *arguments],
        cwd=settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], "CLINICAL_RECORDS_VAR": str(var), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=READY_SECONDS,
    )


def test_a_used_port_is_told(var: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        result = run(var, "--port", port, "--patients", "0", DEMO_MODE="1")
    assert result.returncode == 1
    assert f"No se puede usar el puerto {port}" in result.stderr


def test_it_is_for_demo_mode_only(tmp_path: Path) -> None:
    result = run(tmp_path, SECRET_KEY="9kf83jf0wmf9ejf02kf9wjf8wnf0skd8")
    assert result.returncode == 1
    assert "DEMO_MODE=1" in result.stderr
