"""`shards where TYPE/ID`: the bucket, the shard and the node of one record, and the plan that proves it."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from audit import recorder
from fhir import citus, database, ids, store
from fhir.definitions.structure import TYPE_NUMBER
from fhir.management.actor import command_context

from . import Call, Result
from .tables import fields, joined, problems

HELP = "Show where one record lies, and that reading it asks one node. Leaves an audit row."

_READ = """SELECT r.version, c.body FROM resource r
 LEFT JOIN content c ON c.bucket = %s AND c.type = r.type AND c.id = r.id
 WHERE r.bucket = %s AND r.type = %s AND r.id = %s"""
_EXPLAIN = f"EXPLAIN (FORMAT JSON, COSTS OFF) {_READ}"
_SHARD = """SELECT s.shardid, n.groupid, n.nodename, n.nodeport FROM pg_dist_shard s
 JOIN pg_dist_placement p USING (shardid) JOIN pg_dist_node n USING (groupid)
 WHERE s.shardid = get_shard_id_for_distribution_column('resource', %s::int) AND n.noderole = 'primary'"""


def add_arguments(parser: ArgumentParser) -> None:
    """The name of the record."""
    parser.add_argument("record", metavar="TYPE/ID", help="for example Patient/123")


def run(call: Call) -> Result:
    """Where it lies. The look-up and its audit row are one transaction. Raises CommandError where there is no such."""
    resource_type, _slash, resource_id = call.options["record"].partition("/")
    if resource_type not in TYPE_NUMBER or not ids.is_legal(resource_id):
        raise CommandError(_("A record is named TYPE/ID, as in Patient/123."))
    with database.Transaction() as transaction:
        transaction.send([])  # BEGIN: what follows is a part of it
        current = store.current(TYPE_NUMBER[resource_type], resource_id)
        result = None if current is None else _found(resource_type, resource_id, current)
        transaction.commit([(recorder.INSERT_SQL, _audit_row(resource_type, resource_id, current))])
    if result is None:
        raise CommandError(_("There is no such record."))
    return result


def _found(resource_type: str, resource_id: str, current: store.Current) -> Result:
    home = ids.bucket_of(resource_id)
    result: Result = {
        "record": f"{resource_type}/{resource_id}",
        "bucket": current.bucket,
        "home": home,
        "found_by": "locator" if current.bucket != home else "id" if ids.is_issued(resource_id) else "hash",
        "version": current.version,
        "deleted": current.deleted,
        "distributed": citus.distributed(),
        "shard": None,
        "node": None,
        **_plan(TYPE_NUMBER[resource_type], resource_id, current.bucket),
        "problems": [],
    }
    if result["distributed"]:
        ((shard, group, host, port),) = database.fetch(_SHARD, (current.bucket,))
        result |= {"shard": shard, "group": group, "node": f"{host}:{port}"}
        if result["tasks"] != 1 or result["asked"] != [result["node"]]:
            result["problems"].append(_("The read does not ask that node alone."))
    return result


def _plan(type_number: int, resource_id: str, bucket: int) -> dict[str, Any]:
    """What PostgreSQL says of the read: how many tasks, which nodes, which indexes; no record's content."""
    ((plan,),) = database.fetch(_EXPLAIN, (bucket, bucket, type_number, resource_id))
    plans = plan if isinstance(plan, list) else json.loads(plan)
    jobs = list(_values(plans, "Distributed Query"))
    return {
        "tasks": jobs[0]["Job"]["Task Count"] if jobs else None,
        "asked": sorted({_address(text) for text in _values(plans, "Node")}),
        "indexes": sorted(set(_values(plans, "Index Name"))),
    }


def _values(node: Any, key: str) -> Any:
    """All values of a key, at any depth."""
    if isinstance(node, dict):
        if key in node:
            yield node[key]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _values(child, key)


def _address(text: str) -> str:
    """`host:port` of `host=… port=… dbname=…`."""
    named = dict(part.split("=", 1) for part in text.split() if "=" in part)
    return f"{named.get('host')}:{named.get('port')}"


def _audit_row(resource_type: str, resource_id: str, current: store.Current | None) -> recorder.Row:
    return command_context("shards").audit(
        "operation",
        bucket=ids.bucket_of(resource_id) if current is None else current.bucket,
        status=200 if current is not None else 404,
        at=store.now(),
        type_number=TYPE_NUMBER[resource_type],
        resource_id=resource_id,
        version=None if current is None else current.version,
        pat=None if current is None else current.pat,
        query="shards where",
    )


def text(result: Result) -> str:
    """A table for people."""
    ways = {
        "id": _("its id carries the bucket"),
        "hash": _("the hash of its id is the bucket"),
        "locator": _("the locator at its id's bucket %(home)d says so") % {"home": result["home"]},
    }
    deleted = _("deleted")
    rows = [
        (_("record"), result["record"]),
        (_("bucket"), f"{result['bucket']}: {ways[result['found_by']]}"),
        (_("version"), f"{result['version']}, {deleted}" if result["deleted"] else str(result["version"])),
    ]
    if result["distributed"]:
        group = _("group %(group)d") % {"group": result["group"]}
        rows += [
            (_("shard"), f"{result['shard']}"),
            (_("node"), f"{result['node']}, {group}"),
            (_("proof"), _("the read is %(tasks)d task, on %(asked)s") % {
                "tasks": result["tasks"], "asked": ", ".join(result["asked"])}),
        ]  # fmt: skip
    else:
        rows += [(_("node"), _("this one: the database is not distributed"))]
    rows += [(_("by index"), ", ".join(result["indexes"]))]
    return joined(fields(rows), problems(result["problems"]))
