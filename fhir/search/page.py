"""Cursors: where a page begins, as a token that only this server can read, for one search of one user.

A cursor holds the sort keys of a row, which may be clinical, so it is encrypted: a key stream of SHAKE-256 over key and
nonce, then a MAC (BLAKE2b) over nonce, text and the search that it belongs to.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import msgspec
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from fhir.exceptions import InvalidRequest

_NONCE, _MAC = 12, 16


@dataclass(frozen=True, slots=True)
class Position:
    """The keys of a row, as texts; `backwards` asks for the page before it."""

    keys: tuple[str | None, ...]
    backwards: bool = False


@cache
def _secret(purpose: bytes) -> bytes:
    return hashlib.blake2b(settings.SECRET_KEY.encode(), person=purpose, digest_size=32).digest()


def fingerprint(user_id: str, path: str, pairs: Sequence[tuple[str, str]]) -> bytes:
    """What a cursor is bound to: the user and the search, whatever its `_count`."""
    said = msgspec.json.encode([user_id, path, [pair for pair in pairs if pair[0] != "_count"]])
    return hashlib.blake2b(said, digest_size=16).digest()


def _stream(nonce: bytes, length: int) -> bytes:
    return hashlib.shake_256(_secret(b"cursor-text") + nonce).digest(length)


def _mac(nonce: bytes, sealed: bytes, bound: bytes) -> bytes:
    return hashlib.blake2b(nonce + bound + sealed, key=_secret(b"cursor-mac"), digest_size=_MAC).digest()


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def seal(position: Position, bound: bytes) -> str:
    """The token of a position."""
    text = msgspec.json.encode([int(time.time()), position.backwards, *position.keys])
    nonce = os.urandom(_NONCE)
    sealed = _xor(text, _stream(nonce, len(text)))
    return base64.urlsafe_b64encode(nonce + sealed + _mac(nonce, sealed, bound)).decode().rstrip("=")


def unseal(token: str, bound: bytes, keys: int) -> Position:
    """The position of a token. Raises InvalidRequest for what is forged, expired or of another search."""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        raise _refusal() from None
    nonce, sealed, mac = raw[:_NONCE], raw[_NONCE:-_MAC], raw[-_MAC:]
    if len(raw) <= _NONCE + _MAC or not hmac.compare_digest(mac, _mac(nonce, sealed, bound)):
        raise _refusal()
    issued, backwards, *values = msgspec.json.decode(_xor(sealed, _stream(nonce, len(sealed))))
    if time.time() - issued > settings.FHIR_CURSOR_SECONDS or len(values) != keys:
        raise _refusal()
    return Position(tuple(values), backwards)


def _refusal() -> InvalidRequest:
    text = _("The link to this page has expired or belongs to another search. Please search again.")
    return InvalidRequest(text, code="expired", expression="_cursor")
