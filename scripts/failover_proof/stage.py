"""A cluster with the server on it, charts in it, and a ledger: where the scenarios are played."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from django.conf import settings

from clinical_records.testing import GunicornServer

from . import database, resources
from .answers import Answers
from .client import Client
from .ledger import Call, Key, Ledger, Written
from .load import BASE, Actor, BundleWriter, Chart, Reader, Searcher, Visitor, Writer
from .processes import NotStarted
from .resources import STEADY

USERNAME = "failover-proof"
CHARTS_OF_A_NODE = 4
STEADY_OF_A_CHART = 6
MOST_CHARTS = 200  # tried, until each node has enough


class CommandFailed(RuntimeError):
    """A management command ended with another status than 0; the text is what it said."""


class Cluster(Protocol):
    """What a stage needs of a cluster."""

    @property
    def url(self) -> str:
        """The application's DATABASE_URL."""

    def connect(self) -> database.Connection:
        """A connection to the coordinator that may see and do everything, in autocommit mode."""


class Stage:
    """A context manager: inside, the server runs and the charts are there. `clients` is for each node and kind."""

    def __init__(self, cluster: Cluster, home: Path, *, seed: int, clients: int, background: int) -> None:
        self.cluster, self.home = cluster, home
        self.rng, self.clients, self.background = random.Random(seed), clients, background
        self.ledger = Ledger()
        self.password = secrets.token_urlsafe(18)
        self.charts: list[Chart] = []
        self.steady: frozenset[Key] = frozenset()
        self.environment = {
            "DATABASE_URL": cluster.url,
            "DJANGO_SETTINGS_MODULE": "clinical_records.settings",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "ALLOWED_HOSTS": "127.0.0.1",
            "ACCESS_TOKEN_MINUTES": "600",
            "CLINICAL_RECORDS_VAR": str(home),
            "LOG_LEVEL": "WARNING",
            "DEMO_MODE": "0",
        }
        self.server = GunicornServer(home, settings_module="clinical_records.settings", **self.environment)
        self.token = ""

    def __enter__(self) -> Stage:
        self.manage("migrate", "-v", "0")
        about = {"username": USERNAME, "email": f"{USERNAME}@example.org", "role": "administrator"}
        self.manage("createsuperuser", "--noinput", *(f"--{name}={value}" for name, value in about.items()))
        if self.background:
            self.manage("generate_charts", "--patients", str(self.background), "-v", "0")
        self.server.__enter__()
        try:
            self._log_in()
            self._write_charts()
        except BaseException:
            self.server.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.__exit__(kind, error, trace)

    def manage(self, *words: str) -> str:
        """What a management command says, on this cluster. Raises CommandFailed."""
        command = [sys.executable, "manage.py", *words]
        environment = {**os.environ, **self.environment, "DJANGO_SUPERUSER_PASSWORD": self.password}
        done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True)
        if done.returncode:
            said = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            raise CommandFailed(f"manage.py {' '.join(words)} ended with {done.returncode}: {said.strip()}")
        return done.stdout

    def client(self) -> Client:
        """A new client, who has logged in."""
        return Client(self.server.port, self.ledger, self.token)

    def _log_in(self) -> None:
        tokens: list[str] = []
        Client(self.server.port, self.ledger).ask(
            *("login", (0,), "POST", "/auth/login", {"username": USERNAME, "password": self.password}),
            expect={200},
            check=lambda answer: tokens.append(answer.resource()["access"]),
            Content_Type="application/json",
        )
        if not tokens:
            raise NotStarted(f"The server lets nobody in: {self.ledger.calls[-1]}")
        self.token = tokens[0]

    # --- charts

    def _write_charts(self) -> None:
        """A few patients on each node that has shards; each with some Observations that nobody will change."""
        client = self.client()
        with self.cluster.connect() as connection:
            wanted = dict.fromkeys(database.shards_of(connection), CHARTS_OF_A_NODE)
            for number in range(MOST_CHARTS):
                if not any(wanted.values()):
                    break
                patient = self._write_patient(client, number)
                node = database.groups_of(connection, [patient])[patient]
                if wanted[node]:
                    wanted[node] -= 1
                    self._write_steady(client, Chart(patient, node))
        client.close()
        if any(wanted.values()):
            raise NotStarted(f"After {MOST_CHARTS} patients some nodes have too few: {wanted}")

    def _write_patient(self, client: Client, number: int) -> str:
        mark = resources.new_mark()
        written = Written(mark, "Patient", resources.patient(mark, number))
        answers = Answers(self.ledger)
        call = client.ask(
            *("create", (), "POST", f"{BASE}/Patient", written.body),
            expect={201},
            writes=(written,),
            check=answers.located(written),
        )
        return str(self._stored(call)[0].id)

    def _write_steady(self, client: Client, chart: Chart) -> None:
        marks = [resources.new_mark() for _number in range(STEADY_OF_A_CHART)]
        bodies = [resources.observation(mark, STEADY, chart.patient, 60 + n) for n, mark in enumerate(marks)]
        writes = [Written(mark, "Observation", body) for mark, body in zip(marks, bodies, strict=True)]
        urls = [f"urn:uuid:{uuid.uuid4()}" for _mark in marks]
        entries = [resources.posted(body, url) for body, url in zip(bodies, urls, strict=True)]
        call = client.ask(
            *("transaction", {chart.node}, "POST", BASE, resources.transaction(entries)),
            expect={200},
            writes=tuple(writes),
            check=Answers(self.ledger).transaction(writes, urls),
        )
        self.steady |= {written.key for written in self._stored(call)}
        self.charts.append(chart)

    def _stored(self, call: Call) -> Sequence[Written]:
        if not call.answered:
            raise NotStarted(f"A chart cannot be written: {call.status} {call.fault}")
        return call.writes

    # --- who works

    def actors(self) -> list[Actor]:
        """Writers and readers for each node, one who writes to several, a searcher, and a visitor.

        Where the charts lie is asked anew.
        """
        with self.cluster.connect() as connection:
            places = database.groups_of(connection, [chart.patient for chart in self.charts])
            nodes = frozenset(database.shards_of(connection))
        self.charts = [Chart(chart.patient, places[chart.patient]) for chart in self.charts]
        actors: list[Actor] = []
        for node in sorted(set(places.values())):
            own = [chart for chart in self.charts if chart.node == node]
            for kind in (Writer, Reader):
                actors += [kind(self.client(), self._dice(), own) for _number in range(self.clients)]
        actors.append(BundleWriter(self.client(), self._dice(), self.charts))
        actors.append(Searcher(self.client(), self._dice(), nodes, self.steady))
        visitor = Client(self.server.port, self.ledger)
        actors.append(Visitor(visitor, self._dice(), USERNAME, self.password))
        return actors

    def _dice(self) -> random.Random:
        return random.Random(self.rng.random())
