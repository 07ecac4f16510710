"""The embedded PostgreSQL: private, durable, shared by its users, and back after any kill."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from clinical_records import embedded_postgres, postgres_programs
from clinical_records.postgres_server import PostgresError

STARTED_HERE = "import sys, pathlib; from clinical_records import embedded_postgres as e; "


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place for a cluster; folders of pytest are closed to other accounts, so root's cluster goes elsewhere."""
    home = tmp_path_factory.mktemp("var") / "postgres"
    yield home
    embedded_postgres.remove(home)


def postmaster(server: embedded_postgres.Server) -> int:
    return int((server.place.data / "postmaster.pid").read_text().split("\n")[0])


def test_it_starts_stops_and_keeps_what_was_committed(home: Path) -> None:
    server = embedded_postgres.start(home)
    with psycopg.connect(server.dsn()) as connection:
        connection.execute("create table kept as select 1 as one")
    assert server.running()
    assert server.stop()
    assert not embedded_postgres.is_running(server.place)
    again = embedded_postgres.start(home)
    with psycopg.connect(again.dsn()) as connection:
        assert connection.execute("select one from kept").fetchone() == (1,)
    assert again.stop()


def test_it_is_durable_private_and_without_network(home: Path) -> None:
    server = embedded_postgres.start(home)
    with psycopg.connect(server.dsn()) as connection:
        shown = {
            name: connection.execute(f"show {name}").fetchone()
            for name in ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "data_checksums")
        }
        superuser = connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone()
    assert shown == {
        "fsync": ("on",),
        "synchronous_commit": ("on",),
        "full_page_writes": ("on",),
        "listen_addresses": ("",),
        "data_checksums": ("on",),
    }
    assert superuser == (False,)
    for folder in (server.place.folder, server.place.data, server.place.socket):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    server.stop()


def test_no_permission_above_its_folder_changes(home: Path) -> None:
    def modes() -> dict[Path, tuple[int, int, int]]:
        folders = [*home.parents, *embedded_postgres.place(home).folder.parents, Path(sys.prefix)]
        return {path: ((found := path.stat()).st_mode, found.st_uid, found.st_gid) for path in folders}

    before = modes()
    embedded_postgres.start(home, durable=False).stop()
    assert modes() == before


def test_root_runs_it_under_an_existing_account(home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root changes accounts")
    server = embedded_postgres.start(home, durable=False)
    owner = Path(f"/proc/{postmaster(server)}").stat().st_uid
    account = postgres_programs.server_account()
    assert account is not None
    assert owner == account.uid != 0
    assert account.name in postgres_programs.ACCOUNTS
    server.stop()


def test_programs_that_the_account_cannot_reach_are_copied(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = postgres_programs.server_account()
    if account is None:
        pytest.skip("only root changes accounts")
    original = postgres_programs._version
    hidden = Path(sys.prefix)
    monkeypatch.setattr(
        postgres_programs, "_version", lambda path, account: 0 if hidden in path.parents else original(path, account)
    )
    server = embedded_postgres.start(home, durable=False)
    assert server.program_folder.is_relative_to(server.place.folder)
    with psycopg.connect(server.dsn()) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    server.stop()


def test_the_last_user_out_stops_it(home: Path) -> None:
    first, second = embedded_postgres.start(home, durable=False), embedded_postgres.start(home, durable=False)
    assert postmaster(first) == postmaster(second)
    assert not first.stop()
    assert second.running()
    assert second.stop()


def test_a_killed_owner_leaves_no_trace(home: Path) -> None:
    code = STARTED_HERE + "e.start(pathlib.Path(sys.argv[1])); print('up', flush=True); sys.stdin.read()"
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(home)],
        cwd=settings.BASE_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        owner.kill()
    server = embedded_postgres.start(home)
    assert server.stop(), "the killed process still counts as a user"


@pytest.mark.parametrize("wait", [0.0, 0.3])
def test_after_a_kill_the_next_start_recovers_all_commits(home: Path, wait: float) -> None:
    server = embedded_postgres.start(home)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("create table kept (number int)")
        for number in range(200):
            connection.execute("insert into kept values (%s)", [number])
        os.kill(postmaster(server), signal.SIGKILL)
    time.sleep(wait)
    again = embedded_postgres.start(home)
    with psycopg.connect(again.dsn()) as connection:
        assert connection.execute("select count(*) from kept").fetchone() == (200,)
    os.close(server.lock)
    assert again.stop()


def test_a_process_id_of_somebody_else_in_the_pid_file(home: Path) -> None:
    server = embedded_postgres.start(home, durable=False)
    server.stop()
    (server.place.data / "postmaster.pid").write_text(f"{os.getpid()}\n{server.place.data}\n")
    again = embedded_postgres.start(home, durable=False)
    assert postmaster(again) != os.getpid()
    again.stop()


def test_an_interrupted_initdb_is_begun_again(home: Path) -> None:
    where = embedded_postgres.place(home)
    embedded_postgres._make_folders(where, postgres_programs.server_account())
    half_made = where.folder / "data.initializing"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")
    server = embedded_postgres.start(home, durable=False)
    assert server.running()
    server.stop()


def test_a_failure_is_told(home: Path) -> None:
    server = embedded_postgres.start(home, durable=False)
    server.stop()
    (server.place.data / "global" / "pg_control").unlink()
    with pytest.raises(PostgresError, match="pg_control"):
        embedded_postgres.start(home, durable=False)


def test_programs_named_in_pg_bin(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    with pytest.raises(postgres_programs.NoPrograms, match="PG_BIN"):
        embedded_postgres.start(home)


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 90) / "postgres"
    socket = embedded_postgres.place(long).socket / f".s.PGSQL.{embedded_postgres.PORT}"
    assert len(os.fsencode(socket)) <= embedded_postgres.SOCKET_PATH_LIMIT


def test_a_folder_of_another_account_is_told(home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    where = embedded_postgres.place(home)
    where.folder.mkdir()
    if where.folder != where.home:
        home.with_name(f"{home.name}.place").write_text(f"{where.folder}\n")
    os.chown(where.folder, 54321, 54321)
    with pytest.raises(PostgresError, match="another account"):
        embedded_postgres.start(home, durable=False)
