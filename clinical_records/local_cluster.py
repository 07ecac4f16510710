"""A Citus cluster on this machine, for development and tests: a coordinator and workers as ordinary processes.

It needs an installed PostgreSQL with Citus. Everything lives in one folder, as the embedded PostgreSQL does: a folder
for each node, and the password of the superuser, which nobody but the server's account reads. The nodes listen on
127.0.0.1 only. The programs run under an unprivileged account where the caller is root. Linux only: what kills and
freezes a node finds its processes in /proc.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg
from psycopg import sql

from clinical_records import embedded_postgres, postgres_server
from clinical_records import postgres_programs as programs
from clinical_records.postgres_server import SUPERUSER, PostgresError, ServerFolder

HOST = "127.0.0.1"
DATABASE = "clinical_records"
COORDINATOR = "coordinator"
# Below the range from which Linux takes the ports of outgoing connections: a node that is down keeps its port.
FREE_PORTS = range(20000, 32000)
SIGNAL_SECONDS = 30
STOPPED = frozenset({"T", "t"})  # states of /proc/PID/stat
GONE = frozenset({None, "Z", "X"})
HOW_TO_GET_CITUS = (
    "Install PostgreSQL 15 or newer and Citus from the packages of its makers "
    "(https://docs.citusdata.com/en/stable/installation/multi_node.html, without its steps to make a cluster), name "
    "the programs of a server that has it in PG_BIN, or give the DATABASE_URL of a coordinator."
)

SETTINGS = {
    **postgres_server.SETTINGS,
    "listen_addresses": f"'{HOST}'",
    "unix_socket_directories": "''",
    "shared_buffers": "128MB",
    "max_connections": "300",
    "shared_preload_libraries": "'citus'",
    "wal_level": "logical",  # shards move to other nodes while they are written to
    "max_prepared_transactions": "300",  # a commit on two nodes is in two phases
    "max_worker_processes": "32",  # one is taken by each database with Citus
    "citus.node_conninfo": "'sslmode=disable'",
    "citus.node_connection_timeout": "'3s'",
    # Two-phase commits that a crash interrupted are finished soon: until then reads do not see them.
    "citus.recover_2pc_interval": "'5s'",
    "citus.enable_statistics_collection": "off",
}

# A shard that moves leaves behind what was committed asynchronously and is not written yet.
COMMIT = {"synchronous_commit": "on"}
# Versions that know this setting split shards only where it names Citus.
_KNOWS_PLUGINS = "SELECT 1 FROM pg_settings WHERE name = 'output_plugin_libraries'"
_ALLOW_PLUGIN = "ALTER SYSTEM SET output_plugin_libraries = pgoutput, test_decoding, citus"


@dataclass(frozen=True, slots=True)
class Node(ServerFolder):
    """One server of the cluster: its name, its TCP port and its folder."""

    name: str
    port: int
    folder: Path

    @property
    def pid(self) -> int | None:
        """The process id of the postmaster, or None where it does not run."""
        return postgres_server.postmaster(self)


class LocalCluster:
    """The cluster of `home`; as a context manager it starts, and stops in the end.

    `workers=0` is a coordinator that has the shards itself. `base_port` is the coordinator's, the workers have the
    following ones; 0 takes free ports. Both count when the cluster is made, which then keeps its ports. `durable=False`
    is for tests: commits are not forced to the disk, and leaving the context deletes the data.
    """

    def __init__(self, home: Path, workers: int = 2, base_port: int = 0, durable: bool = False) -> None:
        self.workers, self.base_port, self.durable = workers, base_port, durable
        self.place = embedded_postgres.place(home)
        self.nodes: list[Node] = self._known_nodes()

    @property
    def coordinator(self) -> Node:
        """The node that clients connect to. Raises LookupError before the first start."""
        return self.node(COORDINATOR)

    @property
    def url(self) -> str:
        """DATABASE_URL of the coordinator's database, in which the extension is and the workers are registered."""
        return f"postgres://{SUPERUSER}:{self._password()}@{HOST}:{self.coordinator.port}/{DATABASE}"

    def node(self, name: str) -> Node:
        """The node of this name: coordinator, worker1, worker2 … Raises LookupError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise LookupError(f"The cluster has no {name}.")

    def running(self) -> bool:
        """Do all nodes run?"""
        return bool(self.nodes) and all(node.pid is not None for node in self.nodes)

    def start(self) -> None:
        """Start what does not run; the first time, make it. Raises PostgresError and NoPrograms."""
        _citus_programs()  # first, so that nothing is left behind where there is none
        self.place.home.parent.mkdir(parents=True, exist_ok=True)
        with embedded_postgres.start_lock(self.place.home):
            try:
                self._prepare()
            except PermissionError as error:
                raise PostgresError(f"{error.filename} belongs to another account.") from error
            ours = [node for node in self.nodes if node.pid is None]
            try:
                self._run(ours)
            except BaseException:
                self._stop_all(ours, "immediate")
                raise

    def stop(self) -> None:
        """Stop all nodes, also those that are frozen; their data stay. Raises PostgresError."""
        self._stop_all(self.nodes, "fast")

    def remove(self) -> None:
        """Stop all nodes and delete the cluster."""
        self._stop_all(self.nodes, "immediate")
        embedded_postgres.forget(self.place)
        self.nodes = []

    def kill(self, node: Node) -> None:
        """kill -9 of the node's postmaster and its children; returns when they are gone."""
        self.freeze(node)  # no child is made meanwhile
        _signal(_family(node.pid), signal.SIGKILL, frozenset())

    def freeze(self, node: Node) -> None:
        """SIGSTOP to all processes of the node: it takes connections and answers nothing."""
        if node.pid is not None:
            _signal([node.pid], signal.SIGSTOP, STOPPED)  # first what makes the others
            _signal(_family(node.pid), signal.SIGSTOP, STOPPED)

    def thaw(self, node: Node) -> None:
        """SIGCONT to all processes of the node."""
        _signal(_family(node.pid), signal.SIGCONT)

    def restart(self, node: Node) -> None:
        """Start a node that was killed; one that runs, or is frozen, is stopped first. Raises PostgresError."""
        self._stop(node, "fast")
        self._start(node)

    def add_node(self) -> Node:
        """A further worker: it runs, and its database has the extension, but nobody has registered it."""
        with embedded_postgres.start_lock(self.place.home):
            node = self._new_node(f"worker{len(self.nodes)}")
            self._remember([*self.nodes, node])
        self._start(node)
        self._make_database(node)
        return node

    def connect(self, node: Node | None = None, database: str = DATABASE) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of the superuser in autocommit mode, to the coordinator by default."""
        return psycopg.connect(
            host=HOST,
            port=(node or self.coordinator).port,
            user=SUPERUSER,
            password=self._password(),
            dbname=database,
            autocommit=True,
            connect_timeout=10,
        )

    def __enter__(self) -> LocalCluster:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.durable:
            self.stop()
        else:
            self.remove()

    @property
    def _account(self) -> programs.Account | None:
        return programs.server_account()

    @property
    def _list(self) -> Path:
        return self.place.folder / "nodes.json"

    def _known_nodes(self) -> list[Node]:
        try:
            ports = json.loads(self._list.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        return [Node(name, port, self.place.folder / name) for name, port in ports.items()]

    def _remember(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        half_written = self._list.with_suffix(".writing")
        half_written.write_text(json.dumps({node.name: node.port for node in nodes}), encoding="utf-8")
        half_written.replace(self._list)

    def _run(self, ours: list[Node]) -> None:
        """Start these nodes, side by side, and make the cluster of all."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(self._start, ours))
        for node in self.nodes:
            self._make_database(node)
        self._register()

    def _prepare(self) -> None:
        """The folder, the password, and the list of nodes with their ports."""
        embedded_postgres.claim(self.place, self._account)
        if not self._password_file.exists():
            password = secrets.token_urlsafe(24)
            self._write_secret(self._pass_file, f"*:*:*:{SUPERUSER}:{password}\n")
            self._write_secret(self._password_file, f"{password}\n")
        self.nodes = self._known_nodes()
        for name in (COORDINATOR, *(f"worker{number + 1}" for number in range(self.workers))):
            if name not in {node.name for node in self.nodes}:
                self._remember([*self.nodes, self._new_node(name)])

    def _new_node(self, name: str) -> Node:
        """A node with the port that follows those of the others, or with a free one."""
        if self.base_port:
            port = self.base_port + len(self.nodes)
        else:
            taken = {node.port for node in self.nodes}
            port = next(port for port in _shuffled(FREE_PORTS) if port not in taken and _is_free(port))
        return Node(name, port, self.place.folder / name)

    @property
    def _password_file(self) -> Path:
        return self.place.folder / "password"

    @property
    def _pass_file(self) -> Path:
        """What the nodes log in to each other with. https://www.postgresql.org/docs/current/libpq-pgpass.html"""
        return self.place.folder / "pgpass"

    def _password(self) -> str:
        return self._password_file.read_text(encoding="utf-8").strip()

    def _write_secret(self, path: Path, text: str) -> None:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        if self._account:
            os.chown(path, self._account.uid, self._account.gid)

    def _start(self, node: Node) -> None:
        if node.pid is not None:
            return
        if not _is_free(node.port):
            raise PostgresError(f"Port {node.port} of the {node.name} is in use: choose others with CLUSTER_PORT.")
        account, durability = self._account, {} if self.durable else postgres_server.NOT_DURABLE
        for folder in (node.folder, node.log):
            postgres_server.make_folder(folder, account)
        postgres_server.initialize(
            node, _citus_programs(), account, durable=self.durable, password_file=self._password_file
        )
        settings = {**SETTINGS, **durability, **COMMIT, "port": str(node.port)}
        postgres_server.configure(node, account, settings)
        postgres_server.start(node, _citus_programs(), account, {"PGPASSFILE": str(self._pass_file)})

    def _stop_all(self, nodes: list[Node], mode: str) -> None:
        """The coordinator first: it holds connections to the others."""
        for node in nodes:
            self._stop(node, mode)

    def _stop(self, node: Node, mode: str) -> None:
        if node.pid is not None:
            self.thaw(node)
            postgres_server.stop(node, _citus_programs(), self._account, mode=mode)

    def _make_database(self, node: Node) -> None:
        with self.connect(node, "postgres") as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        with self.connect(node) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS citus")
            if connection.execute(_KNOWS_PLUGINS).fetchone():
                connection.execute(_ALLOW_PLUGIN)
                connection.execute("SELECT pg_reload_conf()")

    def _register(self) -> None:
        """Tell the coordinator of the first `workers` workers, as far as it does not know them."""
        own = self.coordinator.port
        with self.connect() as connection:
            known = {port for (port,) in connection.execute("SELECT nodeport FROM pg_dist_node")}
            if own not in known:
                connection.execute("SELECT citus_set_coordinator_host(%s, %s)", [HOST, own])
            for node in self.nodes[1 : self.workers + 1]:
                if node.port not in known:
                    connection.execute("SELECT citus_add_node(%s, %s)", [HOST, node.port])
            if not self.workers:
                connection.execute("SELECT citus_set_node_property(%s, %s, 'shouldhaveshards', true)", [HOST, own])


@cache
def _citus_programs() -> Path:
    try:
        return programs.programs_with("citus", programs.server_account())
    except programs.NoPrograms as error:
        raise programs.NoPrograms(f"{error} {HOW_TO_GET_CITUS}") from error


def _family(postmaster: int | None) -> list[int]:
    """The postmaster and then its children, as they are at this moment."""
    if postmaster is None:
        return []
    running = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [postmaster, *(pid for pid in running if _stat(pid)[1:2] == [str(postmaster)])]


def _signal(processes: list[int], number: signal.Signals, until: frozenset[str] | None = None) -> None:
    """Send it; then wait until each process is in one of these states, or gone. Raises PostgresError."""
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    deadline = time.monotonic() + SIGNAL_SECONDS
    while until is not None and {_state(pid) for pid in processes} - until - GONE:
        if time.monotonic() > deadline:
            raise PostgresError(f"The processes {processes} do not obey {number.name}.")
        time.sleep(0.005)


def _state(pid: int) -> str | None:
    """The letter that /proc gives for the state of a process; None where there is none."""
    return next(iter(_stat(pid)), None)


def _stat(pid: int) -> list[str]:
    """What /proc/PID/stat says after the name: the state, the parent and more; nothing where there is no process.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _shuffled(ports: range) -> list[int]:
    return random.sample(ports, len(ports))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
