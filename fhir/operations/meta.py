"""FHIR operations $meta, $meta-add and $meta-delete.

https://hl7.org/fhir/R4/resource-operation-meta.html, https://hl7.org/fhir/R4/resource-operation-meta-add.html and
https://hl7.org/fhir/R4/resource-operation-meta-delete.html

A change of labels makes a new version (docs/operations.md says why). Adding what is there, or deleting what is not,
changes nothing and makes none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from django.utils.translation import gettext_lazy as _

from audit import recorder
from fhir import database, ids, json, store
from fhir.definitions.structure import RESOURCE_TYPES, TYPE_NUMBER
from fhir.exceptions import Conflict, Gone, InvalidRequest, NotFound
from fhir.interactions import Answer, read, update, writing
from fhir.models import Method
from fhir.permissions import require
from fhir.search.catalogue import parameters
from fhir.store import Current, array
from fhir.validation import check

from .call import Call, single

_SETS = ("profile", "security", "tag")
Meta = dict[str, Any]
Change = Callable[[list[Any], list[Any]], list[Any]]


def show(call: Call) -> Answer:
    """Parameters with the Meta of a resource or of one of its versions; of a type or of the system: all labels in use.

    Raises NotFound, Gone, Forbidden, InvalidRequest for parameters.
    """
    single(call.inputs(), ())
    if call.type is None or call.id is None:
        return _in_use(call)
    if call.version is not None:
        answer = read.vread(call.type, call.id, call.version, call.context)
    else:
        answer = read.read(call.type, call.id, call.context)
    answer.body = _parameters(json.loads(answer.body)["meta"])
    return answer


def _parameters(meta: Meta) -> bytes:
    return json.dumps({"resourceType": "Parameters", "parameter": [{"name": "return", "valueMeta": meta}]})


# --- what is in use


@cache
def _masks() -> dict[int, list[int]]:
    """The bits of _profile, _security and _tag in column `present`: numbers of the types that have them there."""
    found: dict[int, list[int]] = {}
    for name in RESOURCE_TYPES:
        known = parameters(name)
        found.setdefault(sum(known[f"_{kind}"].mask for kind in _SETS), []).append(TYPE_NUMBER[name])
    return found


def _in_use(call: Call) -> Answer:
    scope = call.context.scope
    require(scope, "operation", call.type)
    require(scope, "search-type" if call.type else "search-system", call.type)
    visible = {call.type} if call.type else scope.types("r") & scope.types("s")
    numbers = {TYPE_NUMBER[name] for name in visible if name is not None}
    found = database.batch([_labels(call, numbers), (recorder.INSERT_SQL, _audit_row(call))])[0]
    metas: list[Meta] = [json.loads(text) for (text,) in found]
    merged: Meta = {}
    for kind in _SETS:
        labels = _added([], [label for meta in metas for label in meta.get(kind, ())])
        if labels:
            merged[kind] = sorted(labels, key=lambda label: str(_identity(label)))
    # A Meta without any element is none: https://hl7.org/fhir/R4/element.html, rule ele-1.
    body = _parameters(merged) if merged else json.dumps({"resourceType": "Parameters"})
    return Answer(200, body)


def _labels(call: Call, numbers: set[int]) -> database.Statement:
    """The different sets of labels of all resources of these types that the caller may see."""
    labelled = [
        f"(r.type = ANY('{array(sorted(numbers.intersection(types)))}'::smallint[]) AND r.present & {mask} <> 0)"
        for mask, types in _masks().items()
        if numbers.intersection(types)
    ]
    where, values = "true", {}
    if call.context.scope.compartment is not None:
        patient = call.context.scope.compartment.removeprefix("Patient/")
        where = "(r.pat = %(pat)s::bigint OR r.terms @> %(term)s::bigint[])"
        values = {"pat": ids.patient_hash(patient), "term": array([ids.compartment_term(patient)])}
    text = (
        "SELECT DISTINCT ((c.body::jsonb -> 'meta') - '{versionId,lastUpdated,source,id,extension}'::text[])::text"
        " FROM resource r JOIN content c ON c.bucket = r.bucket AND c.type = r.type AND c.id = r.id"
        f" WHERE NOT r.deleted AND ({' OR '.join(labelled) or 'false'}) AND {where}"
    )
    return text, values


def _audit_row(call: Call) -> recorder.Row:
    compartment = call.context.scope.compartment
    patient = None if compartment is None else compartment.removeprefix("Patient/")
    return call.context.audit(
        "operation",
        bucket=None if patient is None else ids.bucket_of(patient),
        status=200,
        at=store.now(),
        type_number=None if call.type is None else TYPE_NUMBER[call.type],
        pat=None if patient is None else ids.patient_hash(patient),
        patient=patient,
        query=call.path,
    )


# --- changes


def add(call: Call) -> Answer:
    """Adds the profiles, security labels and tags of the parameter `meta`: 200 with the resulting Meta.

    Raises NotFound, Gone, Forbidden, InvalidRequest, Unprocessable, PreconditionFailed, Conflict.
    """
    return _change(call, _added)


def delete(call: Call) -> Answer:
    """Takes the profiles, security labels and tags of the parameter `meta` away; otherwise as `add`."""
    return _change(call, _without)


def _identity(label: Any) -> Any:
    """What makes two labels the same: system and code of a Coding, or the whole url of a profile."""
    return (label.get("system") or "", label.get("code") or "") if isinstance(label, dict) else label


def _added(labels: Iterable[Any], given: Iterable[Any]) -> list[Any]:
    found = list(labels)
    known = {_identity(label) for label in found}
    for label in given:
        if _identity(label) not in known:
            known.add(_identity(label))
            found.append(label)
    return found


def _without(labels: Iterable[Any], given: Iterable[Any]) -> list[Any]:
    unwanted = {_identity(label) for label in given}
    return [label for label in labels if _identity(label) not in unwanted]


def _change(call: Call, change: Change) -> Answer:
    assert call.type is not None and call.id is not None  # offered at instances only
    require(call.context.scope, "operation", call.type)
    require(call.context.scope, "update", call.type)
    given = _given(call)
    return database.retry(lambda: _attempt(call, given, change))


def _given(call: Call) -> Meta:
    """The parameter `meta`. Raises InvalidRequest, Unprocessable."""
    single(call.pairs, ())
    body = call.body or {}
    listed = body.get("parameter")
    if body.get("resourceType") != "Parameters" or not isinstance(listed, list) or len(listed) != 1:
        text = _("$%(name)s takes Parameters with one parameter, “meta”, of type Meta.") % {"name": call.name}
        raise InvalidRequest(text, code="required")
    check(body, "Parameters", base_url=call.context.base_url)
    if listed[0]["name"] != "meta" or "valueMeta" not in listed[0]:
        text = _("$%(name)s takes Parameters with one parameter, “meta”, of type Meta.") % {"name": call.name}
        raise InvalidRequest(text, code="required", expression="Parameters.parameter[0]")
    meta: Meta = listed[0]["valueMeta"]
    return meta


def _attempt(call: Call, given: Meta, change: Change) -> Answer:
    assert call.type is not None and call.id is not None
    current = store.current(TYPE_NUMBER[call.type], call.id, body=True)
    writing.require_visible(current, call.context)
    resource = _changeable(call, current)
    assert current is not None
    before = resource.get("meta", {})
    sets = {kind: change(before.get(kind, []), given.get(kind, [])) for kind in _SETS}
    if all(sets[kind] == before.get(kind, []) for kind in _SETS):
        row = _audit_of(call, current.bucket, current.version, current.pat)
        database.fetch(recorder.INSERT_SQL, row)
        return Answer(200, _parameters(before), version=current.version, updated=current.updated)
    kept = {key: value for key, value in before.items() if key not in _SETS}
    resource["meta"] = kept | {kind: labels for kind, labels in sets.items() if labels}
    write = writing.next_version(resource, current, call.context, resource_id=call.id, method=Method.PATCH)
    store.supersede(write, _audit_of(call, write.bucket, write.version, write.pat))
    assert write.body is not None
    return Answer(200, _parameters(json.loads(write.body)["meta"]), version=write.version, updated=write.updated)


def _changeable(call: Call, current: Current | None) -> dict[str, Any]:
    """The resource whose labels may be changed: the current version, if it is the one that is meant."""
    if current is None:
        raise NotFound(_("There is no such record."))
    if call.version is not None and call.version != str(current.version):
        if call.version.isascii() and call.version.isdigit() and 0 < int(call.version[:9]) < current.version:
            raise Conflict(_("Past versions are kept as they were; labels are changed on the current one."))
        raise NotFound(_("There is no such record."))
    if current.body is None:
        raise Gone(_("This record was deleted."))
    update.require_match(current, call.if_match)
    resource: dict[str, Any] = json.loads(current.body)
    return resource


def _audit_of(call: Call, bucket: int, version: int, pat: int | None) -> recorder.Row:
    assert call.type is not None
    return call.context.audit(
        "operation",
        bucket=bucket,
        status=200,
        at=store.now(),
        type_number=TYPE_NUMBER[call.type],
        resource_id=call.id,
        version=version,
        pat=pat,
        query=call.path,
    )
