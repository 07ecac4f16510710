"""A Citus cluster whose groups are kept by Patroni with deploy/patroni/patroni.yml, with an etcd, on this machine."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg

from clinical_records import postgres_programs

from . import processes
from .processes import NotStarted

HOST = "127.0.0.1"
DATABASE = ROLE = "clinical_records"
START_SECONDS = 180
DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "patroni"
Row = tuple[Any, ...]


@dataclass(slots=True)
class Member:
    """One Patroni and its PostgreSQL."""

    name: str
    group: int
    port: int
    api: int
    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "patroni.log"


class PatroniCluster:
    """A coordinator group and `workers` worker groups of two members each; a context manager.

    `etcd` and `patroni` are their programs. Everything lies in `home`, which the account that runs PostgreSQL reaches.
    """

    def __init__(self, home: Path, *, etcd: Path, patroni: Path, workers: int = 2, first_port: int = 21000) -> None:
        self.home, self.etcd_program, self.patroni_program = home, etcd, patroni
        self.account = postgres_programs.server_account()
        self.passwords = {name: secrets.token_urlsafe(18) for name in ("postgres", "replicator", ROLE)}
        names = ["coordinator", *(f"worker{number + 1}" for number in range(workers))]
        ports = processes.free_ports(2 + 4 * len(names), first_port)
        self.etcd_port, self.etcd_peer_port = ports.pop(), ports.pop()
        self.members = [
            Member(f"{name}-{letter}", group, ports.pop(), ports.pop(), home / f"{name}-{letter}")
            for group, name in enumerate(names)
            for letter in "ab"
        ]
        self.etcd: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """DATABASE_URL for the application: both coordinators, of which libpq takes the one that can be written to."""
        places = ",".join(f"{HOST}:{member.port}" for member in self.group(0))
        return f"postgres://{ROLE}:{self.passwords[ROLE]}@{places}/{DATABASE}?target_session_attrs=read-write"

    def group(self, number: int) -> list[Member]:
        """The members of a group."""
        return [member for member in self.members if member.group == number]

    def connect(self, member: Member | None = None) -> psycopg.Connection[Row]:
        """The superuser's connection to a member; without one, to the coordinator's primary. Autocommit."""
        members = [member] if member else self.group(0)
        return psycopg.connect(
            host=",".join(HOST for _member in members),
            port=",".join(str(one.port) for one in members),
            user="postgres",
            password=self.passwords["postgres"],
            dbname=DATABASE,
            target_session_attrs="any" if member else "read-write",
            connect_timeout=5,
            autocommit=True,
        )

    # --- life

    def __enter__(self) -> PatroniCluster:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self._folder(self.home)
        for file in ("patroni.yml", "post_bootstrap.sh"):
            shutil.copy(DEPLOY / file, self.home / file)
            (self.home / file).chmod(0o755)
        self._start_etcd()
        for member in self.members:
            self._folder(member.folder)
            self.start(member)
        self.wait_until_whole()

    def _folder(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.account:
            shutil.chown(folder, self.account.uid, self.account.gid)

    def _start_etcd(self) -> None:
        address, peer = f"http://{HOST}:{self.etcd_port}", f"http://{HOST}:{self.etcd_peer_port}"
        command: list[str | Path] = [self.etcd_program, "--name", "only", "--data-dir", self.home / "etcd"]
        command += ["--listen-client-urls", address, "--advertise-client-urls", address]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        command += ["--initial-cluster", f"only={peer}"]
        self.etcd = processes.launch(command, self.home / "etcd.log", self.account, cwd=self.home)
        self._wait(lambda: _get(f"{address}/health").get("health") == "true", "etcd", self.home / "etcd.log")

    def start(self, member: Member) -> None:
        """Start a member's Patroni, which starts its PostgreSQL; returns at once."""
        environment = {
            "PATRONI_NAME": member.name,
            "PATRONI_CITUS_GROUP": str(member.group),
            "PATRONI_CITUS_DATABASE": DATABASE,
            "PATRONI_ETCD3_HOSTS": f"{HOST}:{self.etcd_port}",
            "PATRONI_RESTAPI_LISTEN": f"{HOST}:{member.api}",
            "PATRONI_RESTAPI_CONNECT_ADDRESS": f"{HOST}:{member.api}",
            "PATRONI_POSTGRESQL_LISTEN": f"{HOST}:{member.port}",
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS": f"{HOST}:{member.port}",
            "PATRONI_POSTGRESQL_DATA_DIR": str(member.data),
            "PATRONI_POSTGRESQL_PGPASS": str(member.folder / "pgpass"),
            "PATRONI_POSTGRESQL_BIN_DIR": str(self._programs),
            "PATRONI_SUPERUSER_USERNAME": "postgres",
            "PATRONI_SUPERUSER_PASSWORD": self.passwords["postgres"],
            "PATRONI_REPLICATION_USERNAME": "replicator",
            "PATRONI_REPLICATION_PASSWORD": self.passwords["replicator"],
            "APPLICATION_DATABASE": DATABASE,
            "APPLICATION_USER": ROLE,
            "APPLICATION_PASSWORD": self.passwords[ROLE],
        }
        member.process = processes.launch(
            [self.patroni_program, "patroni.yml"], member.log, self.account, cwd=self.home, **environment
        )

    @property
    def _programs(self) -> Path:
        return postgres_programs.programs_with("citus", self.account)

    def stop(self) -> None:
        """kill -9 of everything: the cluster is thrown away."""
        pids = [member.process.pid for member in self.members if member.process]
        for member in self.members:
            parent = processes.postmaster(member.data)
            pids += processes.family(parent) if parent else []
        processes.kill(pids)
        if self.etcd:
            processes.kill([self.etcd.pid])
        for process in (self.etcd, *(member.process for member in self.members)):
            if process:
                process.wait()

    # --- who is what

    def primary(self, group: int) -> Member:
        """The member that may be written to. Raises LookupError."""
        for member in self.group(group):
            if _get(f"http://{HOST}:{member.api}/").get("role") == "primary":
                return member
        raise LookupError(f"Group {group} has no primary.")

    def whole(self) -> bool:
        """Has each group a primary and a synchronous standby, and does the coordinator know all of them?"""
        for group in {member.group for member in self.members}:
            roles = {_get(f"http://{HOST}:{member.api}/").get("role") for member in self.group(group)}
            in_step = any(_get(f"http://{HOST}:{member.api}/").get("sync_standby") for member in self.group(group))
            if roles != {"primary", "replica"} or not in_step:
                return False
        return self._registered() == {(member.group, member.port) for member in self._primaries()}

    def _primaries(self) -> Sequence[Member]:
        return [self.primary(group) for group in sorted({member.group for member in self.members})]

    def _registered(self) -> set[Row]:
        try:
            with self.connect() as connection:
                sql = "SELECT groupid, nodeport FROM pg_dist_node WHERE isactive AND noderole = 'primary'"
                return set(connection.execute(sql).fetchall())
        except psycopg.OperationalError:
            return set()

    @property
    def version(self) -> str:
        """Patroni's."""
        return str(_get(f"http://{HOST}:{self.primary(0).api}/")["patroni"]["version"])

    @property
    def failover_seconds(self) -> float:
        """How long a failover may take by what etcd holds: until the primary's key expires and the next look at it."""
        settings = _get(f"http://{HOST}:{self.primary(1).api}/config")
        return float(settings["ttl"] + settings["loop_wait"])

    def wait_until_whole(self) -> None:
        """Raises NotStarted when it does not become so."""
        self._wait(self.whole, "Patroni", *(member.log for member in self.members))

    def _wait(self, condition: Callable[[], bool], what: str, *logs: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                said = "\n".join(log.read_text(errors="replace")[-1500:] for log in logs if log.exists())
                raise NotStarted(f"{what} does not come up:\n{said}")
            time.sleep(0.25)

    # --- accidents

    def kill(self, member: Member) -> None:
        """kill -9 of the member's Patroni, then of its postmaster and all its children."""
        assert member.process is not None
        processes.kill([member.process.pid])
        member.process.wait()
        parent = processes.postmaster(member.data)
        if parent is not None:
            processes.send([parent], signal.SIGSTOP)  # a stopped postmaster makes no further child
            processes.kill(processes.family(parent))


def _get(url: str) -> dict[str, Any]:
    """The JSON of a GET, whatever the status; {} from nobody."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return json.load(response)  # type: ignore[no-any-return]
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)  # type: ignore[no-any-return]
    except (OSError, ValueError):
        return {}
