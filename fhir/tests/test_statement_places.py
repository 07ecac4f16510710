"""The buckets that statements name, which decide who goes on while a node is in trouble."""

from __future__ import annotations

import pytest

from fhir import statement_places, store
from fhir.definitions.structure import TYPE_NUMBER
from fhir.versions import array


@pytest.mark.parametrize(
    ("sql", "parameters", "buckets"),
    [
        ("SELECT 1 FROM resource r WHERE r.bucket = %s AND r.type = %s", (7, 3), {7}),
        ("SELECT 1 FROM resource r WHERE r.type = %s AND r.bucket = %s", (3, 7), {7}),
        ("SELECT '100%%' FROM resource WHERE bucket = %s", (7,), {7}),
        ("SELECT 1 FROM resource r WHERE r.bucket = ANY(%s::int[]) AND r.id = %s", ("{7,8}", "9"), {7, 8}),
        ("SELECT 1 FROM resource r WHERE r.bucket = ANY(%s::int[])", ([7, 8],), {7, 8}),
        ("UPDATE resource SET version = %(v)s WHERE bucket = %(b)s", {"v": 2, "b": 7}, {7}),
        ("INSERT INTO audit_record (bucket, id) VALUES (%s, %s)", ("7", "x"), {7}),
        ("INSERT INTO content (bucket, type) SELECT %s, u.t FROM unnest(%s) u(t)", (7, [1]), {7}),
        (
            "SELECT 1 FROM unnest(%s::int[], %s::smallint[], %s::text[]) k(bucket, type, id)",
            (array([7, 8]), array([1, 1]), ["a", "b"]),
            {7, 8},
        ),
        ("SELECT 1 FROM resource WHERE terms @> %s::bigint[]", ("{1}",), set()),
        ("SELECT 1 FROM resource", None, set()),
    ],
)
def test_buckets_of_a_statement(sql: str, parameters: object, buckets: set[int]) -> None:
    assert statement_places.buckets(sql, parameters) == buckets  # type: ignore[arg-type]


def test_the_store_says_where_it_reads(database: None) -> None:
    assert statement_places.buckets(*store.head_statement(513, TYPE_NUMBER["Patient"], "x", body=True)) == {513}
    assert statement_places.buckets(*store.locator_statement(TYPE_NUMBER["Patient"], "x")) != set()
