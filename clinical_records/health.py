"""Is the server alive, and can it answer?"""

from __future__ import annotations

import logging
from typing import Any

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from clinical_records import __version__
from fhir import nodes

logger = logging.getLogger(__name__)


@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers; never asks the database."""
    return JsonResponse({"status": "ok"})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 when the database answers, 503 when it does not. Without some of its nodes it is "degraded", and still 200.

    Which nodes those are is in the log.
    """
    body: dict[str, Any] = {"status": "ok", "database": "ok", "version": __version__}
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1")
            cursor.fetchone()
        answering, registered = nodes.status()
    except DatabaseError:
        logger.warning("The database does not answer.", exc_info=True)
        connection.close()
        body = {"status": "unavailable", "database": "unavailable", "version": __version__}
        return JsonResponse(body, status=503, headers={"Retry-After": "5"})
    if registered:
        body["nodes"] = {"answering": answering, "registered": registered}
        body["status"] = "ok" if answering == registered else "degraded"
    return JsonResponse(body)
