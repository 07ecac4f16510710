"""Fixtures of several modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from clinical_records.testing import ApiClient
from fhir import reindex

from .custom_parameters import forget


@pytest.fixture
def admin(api: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiClient]:
    """An administrator; the search parameters that they define, and jobs, are gone after the test.

    There is one process: nobody has to be waited for.
    """
    monkeypatch.setattr(reindex, "SETTLE_SECONDS", 0.0)
    client = api()
    yield client
    forget(client)
