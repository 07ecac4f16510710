"""Sort keys as SQL, and the condition that begins after a given row (https://hl7.org/fhir/R4/search.html#sort)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext_lazy as _

from fhir.definitions.search_parameters import clinical_date

from . import hashing, json_paths
from .catalogue import Parameter, parameters
from .clauses import Fragment
from .parameters.text import bad_value
from .request import Sort

_SAME_BUCKET = "k.bucket = $r.bucket"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: `sql` is an expression over a row `$r` of resource; `column` names it where it is a plain column.

    `kind` is its SQL type; `nullable` says that some rows have none, which come last.
    """

    sql: str
    parameters: tuple[Any, ...]
    kind: str
    descending: bool
    nullable: bool
    column: str | None = None
    backwards: bool = False

    def within(self, buckets: Sequence[int]) -> Key:
        """The same key of rows in these buckets: Citus wants to know it of each table."""
        listed = ",".join(map(str, buckets))
        place = f"k.bucket = {listed}" if len(buckets) == 1 else f"k.bucket = ANY('{{{listed}}}'::int[])"
        return replace(self, sql=self.sql.replace(_SAME_BUCKET, f"{_SAME_BUCKET} AND {place}"))

    def reversed(self) -> Key:
        """The same key read from the end: what had no value comes first."""
        return replace(self, descending=not self.descending, backwards=not self.backwards)


def _column(name: str, kind: str, descending: bool) -> Key:
    return Key(f"$r.{name}", (), kind, descending, False, name)


def keys(types: Sequence[str], sort: Sequence[Sort]) -> tuple[Key, ...]:
    """The keys of a search, which make every row's place its own. Default: newest clinical date first."""
    found: list[Key] = []
    for item in sort or (Sort("_date", True),):
        found += _keys(types, item)
    if not any(key.column == "id" for key in found):
        found.append(_column("id", "text", found[-1].descending))
    if len(types) > 1:
        found.append(_column("type", "smallint", found[-1].descending))
    return tuple(found)


def _keys(types: Sequence[str], sort: Sort) -> list[Key]:
    if sort.code == "_id":
        return [_column("id", "text", sort.descending)]
    if sort.code == "_lastUpdated":
        return [_column("updated", "timestamptz", sort.descending)]
    if sort.code == "_date":
        return [_column("sdate", "float8", sort.descending)]
    described = [parameters(name)[sort.code] for name in types]
    if len(types) == 1 and clinical_date(types[0]) == sort.code and described[0].single:
        # Without a date the column holds -infinity, which comes last when the newest is first.
        if sort.descending:
            return [_column("sdate", "float8", True)]
        return [Key("NULLIF($r.sdate, '-Infinity'::float8)", (), "float8", False, True)]
    kinds = {p.type for p in described}
    if kinds <= {"date", "number", "quantity", "special"}:
        return [_from_rows("range_index", "lo", "float8", described, sort)]
    if kinds == {"string"}:
        return [_from_rows("string_index", "value", "text", described, sort)]
    try:
        return [_from_content(described, sort)]
    except json_paths.NotAPath:
        if len(described) == 1:
            return [_from_terms(described[0], sort)]
        raise bad_value(
            sort.code, sort.code, _("The parameter “%(code)s” can be sorted by in one type only.")
        ) from None


def _from_rows(table: str, column: str, kind: str, described: Sequence[Parameter], sort: Sort) -> Key:
    numbers = sorted({hashing.parameter_number(p.resource_type, code) for p in described for code in p.stored_as})
    least = "max" if sort.descending else "min"
    sql = (
        f"(SELECT {least}(k.{column}) FROM {table} k WHERE {_SAME_BUCKET} AND k.type = $r.type"
        f" AND k.id = $r.id AND k.param = ANY(%s::int[]))"
    )
    return Key(sql, ("{" + ",".join(map(str, numbers)) + "}",), kind, sort.descending, True)


def _from_content(described: Sequence[Parameter], sort: Sort) -> Key:
    """Codes, references and addresses are hashes in the index: their texts are read from the content."""
    paths = sorted({path for p in described for path in _json_paths(p)})
    least = "max" if sort.descending else "min"
    sql = (
        f"(SELECT {least}((v.v #>> '{{}}') COLLATE \"C\") FROM content k, unnest(%s::text[]) p(p),"
        " jsonb_path_query(k.body::jsonb, p.p::jsonpath) v(v)"
        f" WHERE {_SAME_BUCKET} AND k.type = $r.type AND k.id = $r.id)"
    )
    return Key(sql, (paths,), "text", sort.descending, True)


def _json_paths(parameter: Parameter) -> list[str]:
    """The paths of a parameter's values. Raises NotAPath, or InvalidRequest where no value has an order."""
    part = parameter.parts[0][2] if parameter.parts else None
    found = [p for branch in parameter.branches for p in json_paths.of_branch(branch, parameter.resource_type, part)]
    if not found:
        text = _("The parameter “%(code)s” has no value that can be sorted by.")
        raise bad_value(parameter.code, parameter.code, text)
    return found


def _from_terms(parameter: Parameter, sort: Sort) -> Key:
    """Of expressions that say yes or no only the terms are known."""
    base = hashing.parameter_hash(parameter.resource_type, parameter.stored_as[0])
    terms = tuple(base ^ hashing.any_system(text) for text in ("true", "false"))
    sql = (
        "CASE WHEN %s::bigint = ANY($r.terms) THEN 'true' COLLATE \"C\""
        " WHEN %s::bigint = ANY($r.terms) THEN 'false' COLLATE \"C\" END"
    )
    return Key(sql, terms, "text", sort.descending, True)


def order_by(found: Sequence[Key], names: Sequence[str]) -> str:
    """The ORDER BY list over the given names of the keys."""
    return ", ".join(f"{name} {_direction(key)}" for key, name in zip(found, names, strict=True))


def _direction(key: Key) -> str:
    direction = "DESC" if key.descending else "ASC"
    if not key.nullable:
        return direction
    return f"{direction} NULLS {'FIRST' if key.backwards else 'LAST'}"


def after(found: Sequence[Key], names: Sequence[str], values: Sequence[str | None]) -> Fragment:
    """The condition on rows that come after the row with these values (texts, None for null)."""
    directions = {key.descending for key in found}
    if len(directions) == 1 and not any(key.nullable for key in found):
        casts = ", ".join(f"%s::{key.kind}" for key in found)
        sign = "<" if found[0].descending else ">"
        return Fragment(f"({', '.join(names)}) {sign} ({casts})", tuple(values))
    return _after(list(zip(found, names, values, strict=True)))


def _after(rest: Sequence[tuple[Key, str, str | None]]) -> Fragment:
    (key, name, value), *others = rest
    further, same = _beyond(key, name, value)
    if not others:
        return further
    inner = _after(others)
    text = f"({further.text} OR ({same.text} AND {inner.text}))"
    return Fragment(text, (*further.parameters, *same.parameters, *inner.parameters))


def _beyond(key: Key, name: str, value: str | None) -> tuple[Fragment, Fragment]:
    """(rows beyond the value, rows with the same value) in one key; nulls lie at the end of the order."""
    if value is None:
        return Fragment(f"{name} IS NOT NULL" if key.backwards else "FALSE"), Fragment(f"{name} IS NULL")
    sign = "<" if key.descending else ">"
    text = f"{name} {sign} %s::{key.kind}"
    if key.nullable and not key.backwards:
        text = f"({text} OR {name} IS NULL)"
    return Fragment(text, (value,)), Fragment(f"{name} = %s::{key.kind}", (value,))
