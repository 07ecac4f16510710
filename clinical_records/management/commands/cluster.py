"""`manage.py cluster start|stop|status|remove`: a Citus cluster on this machine, for work on the project."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from clinical_records.local_cluster import LocalCluster
from clinical_records.postgres_programs import NoPrograms
from clinical_records.postgres_server import PostgresError


class Command(BaseCommand):
    help = "Start or stop a Citus cluster of local processes, say how to connect to it, or remove it with all its data."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["start", "stop", "status", "remove"])

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        cluster = LocalCluster(settings.LOCAL_CLUSTER, settings.CLUSTER_WORKERS, settings.CLUSTER_PORT, durable=True)
        try:
            if action == "start":
                cluster.start()
            elif action == "stop":
                cluster.stop()
            elif action == "remove":
                cluster.remove()
        except (PostgresError, NoPrograms) as error:
            raise CommandError(str(error)) from error
        if action in ("start", "status"):
            self.status(cluster)

    def status(self, cluster: LocalCluster) -> None:
        """One line for each node, and the address of the whole."""
        if not cluster.nodes:
            self.stdout.write("There is no cluster yet.")
            return
        for node in cluster.nodes:
            state = "does not run" if node.pid is None else f"runs (process {node.pid})"
            self.stdout.write(f"{node.name:<12} port {node.port}  {state}")
        self.stdout.write(f"DATABASE_URL={cluster.url}")
