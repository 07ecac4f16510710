"""The secret of a demo: made once, kept in a file that only its owner reads."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def read_or_make(path: Path) -> str:
    """The secret in `path`, made if it is not there; processes that start together agree on one.

    Raises ImproperlyConfigured if it is not for this account to read.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        mine = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(mine, path)
        except FileExistsError:
            pass  # another process was first: its secret counts
        finally:
            mine.unlink()
    try:
        return path.read_text(encoding="ascii").strip()
    except PermissionError as error:
        text = f"{path} belongs to another account: run this as that account, or choose another CLINICAL_RECORDS_VAR."
        raise ImproperlyConfigured(text) from error
