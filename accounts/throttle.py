"""Failed logins are counted for each account and address; too many of them close the door for a while.

Counted in a table, so that all processes count together. Logins that run at the same moment may each be let in before
any of them has failed: the overshoot is at most the number of server threads.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from .models import LoginFailures

FAILURE_LIMIT: int = getattr(settings, "LOGIN_FAILURE_LIMIT", 10)
WINDOW = timedelta(seconds=getattr(settings, "LOGIN_FAILURE_WINDOW_SECONDS", 300))

_COUNT_SQL = """
INSERT INTO accounts_loginfailures AS f (key, failures, window_started) VALUES (%(key)s, 1, %(now)s)
ON CONFLICT (key) DO UPDATE SET
  failures = CASE WHEN f.window_started <= %(start)s THEN 1 ELSE f.failures + 1 END,
  window_started = CASE WHEN f.window_started <= %(start)s THEN %(now)s ELSE f.window_started END
"""


def _key(username: str, client: str) -> str:
    return hashlib.sha256(f"{username.casefold()}\0{client}".encode()).hexdigest()


def seconds_closed(username: str, client: str) -> int:
    """Seconds until the next login is read; 0 when it is read now."""
    now = timezone.now()
    row = LoginFailures.objects.filter(key=_key(username, client), window_started__gt=now - WINDOW).first()
    if row is None or row.failures < FAILURE_LIMIT:
        return 0
    return int((row.window_started + WINDOW - now).total_seconds()) + 1


def count_failure(username: str, client: str) -> None:
    """Count one failed login; windows that are over are cleared away."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_SQL, {"key": _key(username, client), "now": now, "start": now - WINDOW})
    over = LoginFailures.objects.filter(window_started__lte=now - WINDOW)
    # A row that another login holds is left to it: waiting for it here could be a deadlock.
    LoginFailures.objects.filter(key__in=over.select_for_update(skip_locked=True).values("key")).delete()


def clear(username: str, client: str) -> None:
    """Forget the failures of an account and address: the right password was given."""
    LoginFailures.objects.filter(key=_key(username, client)).delete()
