"""Resource ids and the bucket that they carry.

A server-assigned id is a UUID of version 8 (RFC 9562, section 5.8): 48 bits of milliseconds first, so that ids
of one time lie together in indexes and WAL, then randomness with the 16 bits of the bucket inside:

    tttttttt-tttt-8rrr-yrrr-bbbbrrrrrrrr

Any other id has a bucket too, a stable hash of it: the id's *home*. A resource lies at home unless its patient's
bucket is another one; then a locator row at the home says where.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from time import time_ns

import xxhash

BUCKETS = 1 << 16
# Types whose identifiers have rows in identifier_locator (docs/decisions/0040-places.md).
LOCATED_TYPES = frozenset({"Patient", "Practitioner", "PractitionerRole", "Organization", "Location"})
_ISSUED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_LEGAL = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_SIGN = 1 << 63
_WRAP = 1 << 64


def is_legal(resource_id: str) -> bool:
    """Whether this is an id of https://hl7.org/fhir/R4/datatypes.html#id."""
    return _LEGAL.fullmatch(resource_id) is not None


def hash64(text: str) -> int:
    """A stable signed 64-bit hash, as PostgreSQL's bigint holds it."""
    value = xxhash.xxh3_64_intdigest(text.encode())
    return value - _WRAP if value >= _SIGN else value


def hash32(text: str) -> int:
    """A stable signed 32-bit hash, as PostgreSQL's integer holds it."""
    value = xxhash.xxh32_intdigest(text.encode())
    return value - (1 << 32) if value >= 1 << 31 else value


def new_id(bucket: int | None = None, *, at: datetime | None = None, entropy: bytes | None = None) -> str:
    """A new id in `bucket` (None: a random one). `at` and 10 bytes of `entropy` make it reproducible."""
    random = os.urandom(10) if entropy is None else entropy
    milliseconds = time_ns() // 1_000_000 if at is None else int(at.timestamp() * 1000)
    value = int.from_bytes(random[:10], "big")
    place = value & 0xFFFF if bucket is None else bucket
    version = 0x8000 | (value >> 16 & 0x0FFF)
    variant = 0x8000 | (value >> 28 & 0x3FFF)
    head = f"{milliseconds & 0xFFFFFFFFFFFF:012x}"
    return f"{head[:8]}-{head[8:]}-{version:04x}-{variant:04x}-{place:04x}{value >> 42 & 0xFFFFFFFF:08x}"


def is_issued(resource_id: str) -> bool:
    """Whether the id has the form of a server-assigned one."""
    return len(resource_id) == 36 and _ISSUED.fullmatch(resource_id) is not None


def bucket_of(resource_id: str) -> int:
    """The home bucket of any legal id, 0–65535."""
    if is_issued(resource_id):
        return int(resource_id[24:28], 16)
    return xxhash.xxh32_intdigest(resource_id.encode()) & 0xFFFF


def bucket_of_term(term: int) -> int:
    """The bucket of what is kept by a term: its last 16 bits."""
    return term & 0xFFFF


def patient_hash(patient_id: str) -> int:
    """What column `pat` holds for the compartment of Patient/`patient_id`."""
    return hash64("Patient/" + patient_id)


def compartment_term(patient_id: str) -> int:
    """The index term of a resource that names this patient beside the one who decides its place."""
    return hash64("compartment|Patient/" + patient_id)
