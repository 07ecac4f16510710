from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from accounts.scopes import scope_for
from audit import recorder
from audit.models import AppendOnlyError, AuditRecord

AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
SCOPE = scope_for(user_id="7", username="alba", role="practitioner")


def row(**given: Any) -> recorder.Row:
    standard: dict[str, Any] = {
        "interaction": "read",
        "bucket": 12,
        "status": 200,
        "request_id": uuid4(),
        "client": "192.0.2.1",
        "at": AT,
    }
    return recorder.record(SCOPE, **{**standard, **given})


FULL: dict[str, Any] = {
    "interaction": "update",
    "bucket": 65535,
    "type_number": 146,
    "resource_id": "x1",
    "version": 70000,
    "pat": -(2**63),
    "patient": "Patient/ana",
    "query": 'name=O\'Hara&x={"a",b}',
    "detail": "línea\\",
    "status": 409,
}


def test_the_columns_are_those_of_the_table() -> None:
    fields = [field.column for field in AuditRecord._meta.local_concrete_fields]
    assert sorted(recorder.COLUMNS) == sorted(fields)
    assert len(recorder.CASTS) == len(recorder.COLUMNS) == len(row())


def test_a_row_is_read_back_as_it_was_written(db: None) -> None:
    request_id = uuid4()
    with connection.cursor() as cursor:
        recorder.insert(cursor, row(request_id=request_id, **FULL))
    stored = AuditRecord.objects.get(bucket=65535, request_id=request_id)
    assert (stored.at, stored.user_id, stored.username, stored.role) == (AT, "7", "alba", "practitioner")
    assert (stored.client, stored.interaction, stored.type, stored.resource_id) == ("192.0.2.1", 3, 146, "x1")
    assert (stored.version, stored.pat, stored.patient) == (70000, -(2**63), "Patient/ana")
    assert (stored.query, stored.detail) == (FULL["query"], FULL["detail"])
    assert (stored.outcome, stored.status) == (4, 409)


@pytest.mark.parametrize("buckets", [[5], [5, 5, 5], [5, 6, 65535]])
def test_many_rows_go_in_one_statement(db: None, buckets: list[int], django_assert_num_queries: Any) -> None:
    request_id = uuid4()
    rows = [row(**{**FULL, "bucket": bucket, "request_id": request_id}) for bucket in buckets]
    rows.append(row(bucket=buckets[0], request_id=request_id))
    with django_assert_num_queries(1), connection.cursor() as cursor:
        recorder.insert_many(cursor, rows)
    stored = AuditRecord.objects.filter(request_id=request_id)
    assert sorted(each.bucket for each in stored) == sorted([*buckets, buckets[0]])
    full = stored.filter(version=70000).first()
    assert full is not None
    assert (full.query, full.detail, full.pat) == (FULL["query"], FULL["detail"], FULL["pat"])
    assert stored.filter(version=None, pat=None, query=None).count() == 1


def test_rows_without_any_optional_value_go_together(db: None) -> None:
    request_id = uuid4()
    with connection.cursor() as cursor:
        recorder.insert_many(cursor, [row(request_id=request_id), row(request_id=request_id)])
    assert AuditRecord.objects.filter(request_id=request_id).count() == 2


def test_no_rows_are_no_statement(db: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0), connection.cursor() as cursor:
        recorder.insert_many(cursor, [])


def test_rows_of_all_shapes_share_one_prepared_statement(db: None) -> None:
    with connection.cursor() as cursor:
        for given in (FULL, {}, {"version": 1}, {"pat": 5}, {"query": "a=b", "bucket": 1}, {"type_number": 1}):
            for _time in range(3):
                recorder.insert(cursor, row(**given))
        cursor.execute(
            "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'INSERT INTO audit_record%%'", []
        )
        assert cursor.fetchone() == (1,)


def test_a_row_of_no_patient_is_spread_over_the_shards() -> None:
    buckets = {int(row(bucket=None)[0]) for _ in range(200)}
    assert len(buckets) > 150
    assert all(0 <= bucket <= 65535 for bucket in buckets)


def test_a_row_of_nobody_has_no_user() -> None:
    nobody = recorder.record(None, interaction="login", bucket=None, status=401, request_id=uuid4(), client="", at=AT)
    assert nobody[4:7] == ("", "", "")


def test_an_unknown_interaction_is_an_error() -> None:
    with pytest.raises(KeyError):
        row(interaction="peek")


def test_ids_are_version_7_and_in_the_order_of_time() -> None:
    ids = [recorder.time_ordered_id(AT + timedelta(milliseconds=step)) for step in range(50)]
    assert ids == sorted(ids)
    assert len({recorder.time_ordered_id(AT) for _ in range(1000)}) == 1000
    parsed = UUID(ids[0])
    assert (parsed.version, parsed.variant) == (7, "specified in RFC 4122")
    assert int(parsed) >> 80 == int(AT.timestamp() * 1000)


def test_rows_are_neither_changed_nor_deleted(db: None) -> None:
    with connection.cursor() as cursor:
        recorder.insert(cursor, row())
    stored = AuditRecord.objects.get(at=AT, bucket=12)
    for change in (
        stored.save,
        stored.delete,
        AuditRecord.objects.all().delete,
        lambda: AuditRecord.objects.update(status=200),
    ):
        with pytest.raises(AppendOnlyError):
            change()
