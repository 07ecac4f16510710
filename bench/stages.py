"""Where the CPU of a write goes: each stage called alone, on the same resources, in this process."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from fhir import content, ids, store
from fhir.index_rows import NOTHING
from fhir.interactions import Context, create, writing
from fhir.json import dumps
from fhir.models import Method
from fhir.search import extract
from fhir.store import Write
from fhir.validation import check

PASSES = 7
MICROSECONDS = 1e6


def cost(function: Callable[[Any], Any], items: Sequence[Any]) -> float:
    """CPU microseconds of one call, the median of PASSES over all items."""
    passes = []
    for _number in range(PASSES):
        started = time.thread_time()
        for item in items:
            function(item)
        passes.append((time.thread_time() - started) / len(items))
    return statistics.median(passes) * MICROSECONDS


def of_writes(resources: Sequence[dict[str, Any]], context: Context) -> dict[str, float]:
    """CPU microseconds a resource of every stage between the web framework and psycopg."""
    bodies = [json.dumps(resource, ensure_ascii=False).encode() for resource in resources]
    parsed = [content.parse_resource(body, content.FHIR_JSON) for body in bodies]
    blank = [_blank(resource) for resource in parsed]
    stamped = [writing.stamp(resource, write) for resource, write in zip(parsed, blank, strict=True)]
    writes = [writing.first_version(resource, context, method=Method.POST) for resource in parsed]
    pairs = list(zip(parsed, blank, strict=True))
    return {
        "JSON in": cost(lambda body: content.parse_resource(body, content.FHIR_JSON), bodies),
        "validation": cost(lambda resource: check(resource, mode="create", base_url=context.base_url), parsed),
        "extraction": cost(lambda resource: extract.index(resource, context.base_url), stamped),
        "JSON out": cost(lambda pair: dumps(writing.stamp(*pair)), pairs),
        "parameters": cost(lambda write: store.create_statements(write, create.audit_row(write, context)), writes),
    }


def _blank(resource: dict[str, Any]) -> Write:
    new_id = ids.new_id()
    bucket = ids.bucket_of(new_id)
    return Write(bucket, 1, new_id, 1, store.now(), Method.POST, None, None, NOTHING)
