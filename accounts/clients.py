"""From where a request came."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The address of the client, at most 64 characters; empty when it came over a socket of this machine.

    Behind a proxy that is trusted (TRUST_PROXY), the last entry of X-Forwarded-For: the one that the proxy wrote.
    """
    if settings.TRUST_PROXY:
        forwarded: str = request.META.get("HTTP_X_FORWARDED_FOR", "")
        if forwarded:
            return forwarded.rpartition(",")[2].strip()[:64]
    return str(request.META.get("REMOTE_ADDR") or "")[:64]
