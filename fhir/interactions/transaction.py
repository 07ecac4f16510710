"""FHIR transaction interaction: https://hl7.org/fhir/R4/http.html#transaction and #trules.

All or nothing, in at most six round trips whatever the number of entries (seven on Citus): conditions; locks, locators,
bodies that are patched; everything that is written, with COMMIT. The answer is built from what was committed. Where
another write came first, the whole starts again from the request, with new ids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext_lazy as _

from audit import recorder
from fhir import bundle, compartment, database, ids, store, store_many
from fhir.definitions.structure import TYPE_NAME, TYPE_NUMBER
from fhir.exceptions import FhirError, InvalidRequest, PreconditionFailed
from fhir.models import Method
from fhir.permissions import require
from fhir.search import find
from fhir.search.find import Match
from fhir.store import Current, Write
from fhir.terminology import Terminology

from . import Answer, Context, batch, entries, writing
from . import update as updating
from .conditional import criteria, lock_key, single
from .create import audit_row
from .entries import Entry
from .placeholders import Rewriter, conditional_references

_INTERACTION = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_LOCK = "SELECT pg_advisory_xact_lock(x) FROM unnest(%s::bigint[]) AS x"


@dataclass(slots=True)
class Step:
    """An entry on its way: what its condition found, what it supersedes, what it writes, what it answers."""

    entry: Entry
    match: Match | None = None
    id: str | None = None
    current: Current | None = None
    write: Write | None = None
    status: int = 0
    answer: Answer | None = None

    @property
    def type(self) -> str:
        assert self.entry.type is not None
        return self.entry.type

    @property
    def stands(self) -> bool:
        """A conditional create that found what it would create: nothing is written."""
        return self.entry.method == "POST" and self.match is not None


@dataclass(slots=True)
class Plan:
    """All steps of a transaction, and where the references of its resources lead."""

    context: Context
    steps: list[Step]
    known: dict[str, str] = field(default_factory=dict)

    @property
    def writing(self) -> list[Step]:
        return [step for step in self.steps if step.entry.writes]


def process(load: Callable[[], dict[str, Any]], context: Context) -> Answer:
    """Executes a transaction: 200 with a transaction-response. `load` gives the bundle anew for each attempt.

    Raises what its entries would raise, and then nothing of it is stored.
    """
    require(context.scope, "transaction")
    return database.retry(lambda: _attempt(load(), context))


def _attempt(body: dict[str, Any], context: Context) -> Answer:
    plan = Plan(context, [Step(entry) for entry in entries.parse(body, context)])
    for step in plan.writing:
        _require_allowed(step, context)
    with database.Transaction() as transaction:
        _resolve_conditions(plan, transaction)
        _identify(plan)
        _lock(plan, transaction)
        _prepare(plan)
        _store(plan, transaction)
    return Answer(200, bundle.join("transaction-response", (_response(step, context) for step in plan.steps)))


def _require_allowed(step: Step, context: Context) -> None:
    try:
        entries.require_known_type(step.entry)
        require(context.scope, _INTERACTION[step.entry.method], step.type)
        if step.entry.condition is not None:
            require(context.scope, "search-type", step.type)
    except FhirError as error:
        raise entries.located(error, step.entry.index) from error


# --- conditions


def _resolve_conditions(plan: Plan, transaction: database.Transaction) -> None:
    """Finds what conditional entries and conditional references mean, behind the locks of all conditions, in order."""
    wanted: dict[tuple[str, str], list[Match]] = {}
    for step in plan.writing:
        if step.entry.condition is not None:
            wanted[(step.type, step.entry.condition)] = []
    references = [(step, found) for step in plan.writing for found in conditional_references(step.entry.resource)]
    for _step, reference in references:
        resource_type, _mark, query = reference.partition("?")
        wanted[(resource_type, query)] = []
    if not wanted:
        return
    keys, plans = [], []
    for resource_type, query in wanted:
        if resource_type not in TYPE_NUMBER:
            raise InvalidRequest(_("FHIR R4 has no resource type “%(type)s”.") % {"type": resource_type})
        require(plan.context.scope, "search-type", resource_type)
        pairs = criteria(query)
        keys.append(lock_key(resource_type, pairs))
        scope, base_url = plan.context.scope, plan.context.base_url
        plans.append(find.condition(resource_type, pairs, scope, base_url, terminology=Terminology(base_url)))
    lock: database.Statement = (_LOCK, (store.array(sorted(keys)),))
    wanted = dict(zip(wanted, find.found(transaction, lock, plans, limit=2), strict=True))
    for step in plan.writing:
        if step.entry.condition is not None:
            step.match = _single(wanted[(step.type, step.entry.condition)], step.entry)
    for step, reference in references:
        resource_type, _mark, query = reference.partition("?")
        plan.known[reference] = _referenced(wanted[(resource_type, query)], reference, step.entry)


def _single(found: list[Match], entry: Entry) -> Match | None:
    try:
        return single(found)
    except PreconditionFailed as error:
        raise entries.located(error, entry.index) from error


def _referenced(found: list[Match], reference: str, entry: Entry) -> str:
    if len(found) != 1:
        text = _("The reference “%(reference)s” matches %(count)s records; it must match one.")
        count = "0" if not found else "2+"
        where = f"Bundle.entry[{entry.index}].resource"
        raise PreconditionFailed(text % {"reference": reference, "count": count}, code="processing", expression=where)
    return f"{TYPE_NAME[found[0].type]}/{found[0].id}"


# --- identities


def _identify(plan: Plan) -> None:
    """Gives each entry the id that it writes to, patients first: their buckets decide where the rest lies."""
    seen: dict[tuple[str, str], int] = {}
    later = []
    for step in plan.writing:
        entry = step.entry
        given = (entry.resource or {}).get("id") if entry.method == "PUT" else None
        if step.match is not None and given not in (None, step.match.id):
            raise _bad(entry, _("The body carries another id than the record that the condition finds."))
        step.id = step.match.id if step.match is not None else entry.id or (given if isinstance(given, str) else None)
        if step.id is None and step.type == "Patient" and entry.method in ("POST", "PUT"):
            step.id = ids.new_id()
        if step.id is None and entry.method in ("POST", "PUT"):
            later.append(step)
        else:
            _name(plan, step, seen)
    for step in later:
        assert step.entry.resource is not None
        named = compartment.patients(step.entry.resource, plan.context.base_url, plan.known)
        step.id = ids.new_id(compartment.place(step.type, None, named)[0])
        _name(plan, step, seen)


def _name(plan: Plan, step: Step, seen: dict[tuple[str, str], int]) -> None:
    """Remembers where the entry's fullUrl leads. Raises InvalidRequest if another entry writes to the same resource."""
    if step.id is None:
        return
    identity = (step.type, step.id)
    if identity in seen and not step.stands:
        text = _("The entries %(first)d and %(second)d write to the same record.")
        raise _bad(step.entry, text % {"first": seen[identity], "second": step.entry.index})
    if not step.stands:
        seen[identity] = step.entry.index
    if step.entry.full_url and step.entry.method in ("POST", "PUT"):
        plan.known[step.entry.full_url] = f"{step.type}/{step.id}"


def _bad(entry: Entry, text: Any) -> InvalidRequest:
    return InvalidRequest(text, expression=f"Bundle.entry[{entry.index}]")


# --- locks


def _lock(plan: Plan, transaction: database.Transaction) -> None:
    """Locks what the entries supersede, in (bucket, type, id) order, and reads the bodies that patches start from."""
    targets = [step for step in plan.writing if step.id and not step.stands and step.entry.method != "POST"]
    keys = {(TYPE_NUMBER[step.type], step.id): ids.bucket_of(step.id) for step in targets if step.id}
    if not keys:
        return
    for match in (step.match for step in targets if step.match is not None):
        keys[(match.type, match.id)] = match.bucket
    held = store_many.lock(transaction, [(bucket, number, rid) for (number, rid), bucket in keys.items()])
    missing = {key: home for key, home in keys.items() if key not in held}
    if missing:
        targets_of = store_many.targets(transaction, [(home, *key) for key, home in missing.items()])
        moved = [(target, *key) for key, target in targets_of.items() if target != missing[key]]
        held |= store_many.lock(transaction, moved)
    for step in targets:
        step.current = held.get((TYPE_NUMBER[step.type], step.id or ""))
    _read_bodies([step for step in targets if step.entry.method == "PATCH" and step.current is not None], transaction)


def _read_bodies(steps: list[Step], transaction: database.Transaction) -> None:
    rows = [(step.current.bucket, TYPE_NUMBER[step.type], step.id or "") for step in steps if step.current is not None]
    if not rows:
        return
    bodies = store_many.bodies(transaction, rows)
    for step in steps:
        if step.current is not None:
            step.current.body = bodies.get((TYPE_NUMBER[step.type], step.id or ""))


# --- what is written


def _prepare(plan: Plan) -> None:
    """Rewrites references, then checks every resource; all problems of all entries are said at once."""
    rewriter = Rewriter(plan.known)
    problems: list[FhirError] = []
    for step in plan.writing:
        entry = step.entry
        try:
            if entry.resource is not None and plan.known and entry.method in ("POST", "PUT"):
                rewriter.rewrite(entry.resource, entry.full_url)
            _prepare_step(step, plan.context)
        except FhirError as error:
            problems.append(entries.located(error, entry.index))
    if problems:
        first = problems[0]
        raise type(first)(issues=[issue for problem in problems for issue in problem.issues])


def _prepare_step(step: Step, context: Context) -> None:
    entry = step.entry
    if entry.method == "DELETE":
        _prepare_delete(step, context)
    elif entry.method == "PATCH":
        assert entry.resource is not None
        change = entries.change_of(entry.resource)
        step.write = updating.patched(step.type, step.id or "", step.current, change, context, if_match=entry.if_match)
        step.status = 200
    elif step.stands:
        step.status = 200
    elif entry.method == "POST":
        _prepare_create(step, context)
    else:
        _prepare_update(step, context)


def _prepare_delete(step: Step, context: Context) -> None:
    step.status = 204
    if step.id is None:
        return
    writing.require_visible(step.current, context)
    updating.require_match(step.current, step.entry.if_match)
    if step.current is not None and not step.current.deleted:
        step.write = writing.deletion(step.type, step.id, step.current)


def _prepare_create(step: Step, context: Context) -> None:
    resource = step.entry.resource
    assert resource is not None
    writing.require_type(resource, step.type)
    resource = {key: value for key, value in resource.items() if key != "id"}
    writing.checked(resource, context, mode="create")
    step.write = writing.first_version(resource, context, resource_id=step.id, method=Method.POST)
    step.write.claim = False
    step.status = 201


def _prepare_update(step: Step, context: Context) -> None:
    resource, resource_id = step.entry.resource, step.id
    assert resource is not None and resource_id is not None
    writing.require_type(resource, step.type)
    if step.entry.condition is None:
        writing.require_same_id(resource, resource_id)
    writing.require_legal_id(resource_id)
    resource = {**resource, "id": resource_id}
    writing.checked(resource, context, mode="update")
    if step.current is not None or step.entry.condition is None:
        writing.require_visible(step.current, context)
    updating.require_match(step.current, step.entry.if_match, step.entry.if_none_match)
    step.write = updating.new(resource, resource_id, step.current, context)
    step.status = 201 if step.current is None or step.current.deleted else 200


def _store(plan: Plan, transaction: database.Transaction) -> None:
    """Sends everything and commits; reads of the bundle see what it wrote, and are part of it."""
    writes = [step.write for step in plan.writing if step.write is not None]
    rows: list[recorder.Row] = [_audit(step, plan.context) for step in plan.writing]
    # Beside the first resource: what is about one patient stays in one shard.
    bucket = writes[0].bucket if writes else None
    rows.append(plan.context.audit("transaction", bucket=bucket, status=200, at=store.now()))
    statements = store_many.statements(writes, rows)
    reading = [step for step in plan.steps if not step.entry.writes]
    if not reading:
        transaction.commit(statements)
        return
    transaction.send(statements)
    for step in reading:
        try:
            step.answer = batch.perform(step.entry, plan.context)
        except FhirError as error:
            raise entries.located(error, step.entry.index) from error
    transaction.commit()


def _audit(step: Step, context: Context) -> recorder.Row:
    interaction = _INTERACTION[step.entry.method]
    if step.write is not None:
        return audit_row(step.write, context, interaction, step.status)
    return context.audit(
        interaction,
        bucket=step.match.bucket if step.match else None,
        status=step.status,
        at=store.now(),
        type_number=TYPE_NUMBER[step.type],
        resource_id=step.id,
        query=step.entry.condition,
    )


# --- the answer


def _response(step: Step, context: Context) -> bytes:
    if step.answer is not None:
        return batch.response(step.answer)
    if step.write is not None and step.write.body is not None:
        return batch.response(writing.written(step.type, step.write, step.status, context))
    if step.write is not None:
        return batch.response(Answer(step.status, version=step.write.version))
    if step.match is not None:
        location = f"{context.base_url}/{step.type}/{step.match.id}/_history/{step.match.version}"
        return batch.response(Answer(step.status, version=step.match.version, location=location))
    return batch.response(Answer(step.status))
