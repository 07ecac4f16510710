"""FHIR operation $lastn: https://hl7.org/fhir/R4/observation-operation-lastn.html

The newest observations of one patient for each code, by the clinical date. One statement on one shard finds them: what
is newest among the observations whose `code` reads the same. Codes that share a coding are then made one group, of
whose members the newest are among those already found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from django.utils.translation import gettext_lazy as _

from audit import recorder
from fhir import bundle, database, ids, json, store
from fhir.definitions.structure import TYPE_NUMBER
from fhir.exceptions import InvalidRequest
from fhir.interactions import Answer, Context
from fhir.permissions import require
from fhir.search import binding, parse, places, plan, sql, statistics
from fhir.search import page as paging
from fhir.search.catalogue import parameters
from fhir.search.clauses import Alias
from fhir.search.find import require_complete
from fhir.search.page import Position
from fhir.search.plan import Plan
from fhir.terminology import Terminology

from .call import Call, Pairs, page_size, whole

# What shapes the answer of a search, and has no meaning here.
_SEARCH_ONLY = tuple(name for name in parse.RESULT if name not in ("_count", "_cursor")) + ("_include", "_revinclude")
_MOST = 1000
Row = tuple[str, float, str]  # id, clinical date, code as JSON text


@dataclass(slots=True)
class _LastN:
    """One call on its way: `count` entries a page, which begins after `after` (clinical date, id)."""

    context: Context
    path: str
    kept: tuple[tuple[str, str], ...]
    plan: Plan
    most: int
    count: int
    bound: bytes
    after: tuple[float, str] | None

    @property
    def patient(self) -> str:
        assert self.plan.patient is not None
        return self.plan.patient


def run(call: Call) -> Answer:
    """A searchset Bundle, newest first; ties at the end of a group are all in it.

    Raises InvalidRequest without one patient and without a parameter that looks at codes, and as searches do.
    """
    require(call.context.scope, "operation", "Observation")
    require(call.context.scope, "search-type", "Observation")
    return database.retry(lambda: _answer(_asked(call)))


def _answer(asked: _LastN) -> Answer:
    found = _newest(database.fetch(*binding.bound(asked.plan, _statement(asked.plan, asked.most))), asked.most)
    total = len(found)
    if asked.after is not None:
        after = asked.after
        found = [row for row in found if (row[1], row[0]) < after]
    rows = found[: asked.count]
    following = (_bodies(asked, [row[0] for row in rows]), (recorder.INSERT_SQL, _audit_row(asked)))
    contents: dict[str, str] = dict(database.batch([database.at(asked.plan.bucket, each) for each in following])[0])
    entries = [_entry(asked.context.base_url, row[0], contents[row[0]]) for row in rows if row[0] in contents]
    links = _links(asked, rows[-1] if len(found) > len(rows) > 0 else None)
    return Answer(200, bundle.join("searchset", entries, link=links, total=total))


# --- what is asked


def _asked(call: Call) -> _LastN:
    pairs, own = _separated(call.inputs())
    scope = call.context.scope
    if scope.compartment is not None and not any(_code(name) in ("patient", "subject") for name, _value in pairs):
        pairs.append(("patient", scope.compartment.removeprefix("Patient/")))
    request = parse.read(
        "Observation", pairs, scope, call.context.base_url, terminology=Terminology(call.context.base_url)
    )
    require_complete(request)
    if request.chart is None:
        text = _("$lastn needs one patient, in the parameter patient or subject.")
        raise InvalidRequest(text, code="required", expression="patient")
    if not any(_looks_at_codes(name) for name, _value in pairs):
        text = _("$lastn needs the parameter category, or one that looks at codes, such as code.")
        raise InvalidRequest(text, code="required", expression="code")
    kept = (*pairs, *((name, value) for name, value in own.items() if name != "_cursor"))
    bound = paging.fingerprint(scope.user_id, call.path, kept)
    after = None
    if "_cursor" in own:
        date, name = paging.unseal(own["_cursor"], bound, 2).keys
        after = (float(date or "-inf"), str(name))
    return _LastN(
        context=call.context,
        path=call.path,
        kept=kept,
        plan=places.in_shard(plan.make(request, scope, statistics.current())),
        most=whole("max", own.get("max"), 1, least=1, most=_MOST),
        count=page_size(own.get("_count")),
        bound=bound,
        after=after,
    )


def _separated(pairs: Pairs) -> tuple[Pairs, dict[str, str]]:
    """The search parameters, and those of the operation itself. Raises InvalidRequest."""
    own: dict[str, str] = {}
    others: Pairs = []
    for name, value in pairs:
        if name in _SEARCH_ONLY or name.partition(":")[0] in _SEARCH_ONLY or name in own:
            text = _("$lastn does not take “%(name)s” here.") % {"name": name[:100]}
            raise InvalidRequest(text, code="not-supported", expression=name[:100])
        if name in ("max", "_count", "_cursor"):
            own[name] = value
        else:
            others.append((name, value))
    return others, own


def _code(name: str) -> str:
    return name.partition(".")[0].partition(":")[0]


def _looks_at_codes(name: str) -> bool:
    """Whether a parameter is `category`, or looks at Observation.code or the code of a component."""
    known = parameters("Observation").get(_code(name))
    if known is None or name.endswith(":missing"):
        return False
    return known.code == "category" or (known.type in ("token", "composite") and "code" in known.code.split("-"))


# --- what is found


def _statement(made: Plan, most: int) -> database.Statement:
    """(id, clinical date, code) of the newest of each code, ties included."""
    where = made.condition.sql(Alias("r", made.bucket, True, made.policy, shard=made.shard, together=made.together))
    text = (
        "SELECT id, sdate, code FROM (SELECT r.id, r.sdate, c.body::json ->> 'code' AS code,"
        " rank() OVER (PARTITION BY c.body::json ->> 'code' ORDER BY r.sdate DESC) AS place FROM resource r"
        f" JOIN {sql.content_of('%s')} WHERE NOT r.deleted AND {where.text}) x"
        " WHERE place <= %s"
    )
    return text, (made.bucket, *where.parameters, most)


def _newest(rows: Sequence[Row], most: int) -> list[Row]:
    """The newest `most` of each group, with all that are as new as the last of them; newest first."""
    groups = _groups({row[2] for row in rows})
    members: dict[int, list[Row]] = {}
    for row in rows:
        members.setdefault(groups[row[2]], []).append(row)
    found: list[Row] = []
    for group in members.values():
        group.sort(key=lambda row: row[1], reverse=True)
        last = group[min(most, len(group)) - 1][1]
        found += [row for row in group if row[1] >= last]
    return sorted(found, key=lambda row: (row[1], row[0]), reverse=True)


def _groups(codes: Iterable[str]) -> dict[str, int]:
    """A number for each code: the same for codes that share a coding, also by way of others; texts as they are."""
    leader: dict[Any, Any] = {}

    def find(item: Any) -> Any:
        while leader.setdefault(item, item) != item:
            leader[item] = item = leader[leader[item]]
        return item

    listed = sorted(codes)
    for code in listed:
        for key in _keys(json.loads(code)):
            leader[find(key)] = find(code)
    numbers: dict[Any, int] = {}
    return {code: numbers.setdefault(find(code), len(numbers)) for code in listed}


def _keys(code: dict[str, Any]) -> list[tuple[str, ...]]:
    """What a CodeableConcept is known by: its codings, or its text where it has none."""
    codings = [(c.get("system") or "", c["code"]) for c in code.get("coding", ()) if "code" in c]
    return list(codings) or [(code.get("text") or "",)]


# --- the Bundle


def _bodies(asked: _LastN, names: list[str]) -> database.Statement:
    text = "SELECT id, body FROM content WHERE bucket = %s AND type = %s AND id = ANY(%s::text[])"
    return text, (asked.plan.bucket, TYPE_NUMBER["Observation"], names)


def _audit_row(asked: _LastN) -> recorder.Row:
    return asked.context.audit(
        "operation",
        bucket=asked.plan.bucket,
        status=200,
        at=store.now(),
        type_number=TYPE_NUMBER["Observation"],
        pat=ids.patient_hash(asked.patient),
        patient=asked.patient,
        query=_query(asked, None),
    )


def _entry(base_url: str, resource_id: str, body: str) -> bytes:
    head = f'{{"fullUrl":"{base_url}/Observation/{resource_id}","resource":'
    return b"".join((head.encode(), body.encode(), b',"search":{"mode":"match"}}'))


def _links(asked: _LastN, last: Row | None) -> list[dict[str, str]]:
    base = asked.context.base_url
    pairs = [("self", f"{base}/{_query(asked, None)}")]
    if last is not None:
        token = paging.seal(Position((repr(last[1]), last[0])), asked.bound)
        pairs.append(("next", f"{base}/{_query(asked, token)}"))
    return bundle.links(pairs)


def _query(asked: _LastN, token: str | None) -> str:
    pairs = asked.kept if token is None else (*asked.kept, ("_cursor", token))
    return f"{asked.path}?{urlencode(list(pairs), quote_via=quote, safe=':,/*')}"
