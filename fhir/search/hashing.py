"""Terms: the signed 64-bit hashes under which tokens, references and uris of a resource are found.

A term is the hash of "Type.code" combined (exclusive or) with the hash of the value, so that a value is hashed once
however many parameters hold it, and so that SQL can make the term of a reference from the term of its target:
the first term of each resource is the hash of its own "Type/id", which is what references to it are made of.
"""

from __future__ import annotations

from functools import cache, lru_cache

from fhir.ids import hash32, hash64

# FHIR strings hold no control characters but white space, so that this one keeps the parts of a hashed text apart.
_PART = "\x1f"


@cache
def parameter_hash(resource_type: str, code: str) -> int:
    """What the hash of a value is combined with to be a term of this parameter."""
    return hash64(f"{resource_type}.{code}")


@cache
def parameter_number(resource_type: str, code: str) -> int:
    """Column `param` of the range and string tables."""
    return hash32(f"{resource_type}|{code}")


def presence(resource_type: str, stored: str) -> tuple[int, int]:
    """The terms of a resource that has a value of a custom parameter, and of one that has none."""
    return parameter_hash(resource_type, stored + ":present"), parameter_hash(resource_type, stored + ":absent")


def any_system(code: str) -> int:
    """A code or value, whatever its system."""
    return hash64("=" + code)


def in_system(system: str, code: str) -> int:
    """A code or value of one system; "" stands for having none."""
    return hash64(f"|{system}{_PART}{code}")


def system_only(system: str) -> int:
    """Any code or value of one system."""
    return hash64(f"|{system}{_PART}")


def of_type(system: str, code: str, value: str) -> int:
    """An identifier with a coding of Identifier.type and its value."""
    return hash64(f":{system}{_PART}{code}{_PART}{value}")


def reference(target: str) -> int:
    """A reference by its text: "Patient/1", "Patient/1/_history/2", or an absolute url."""
    return hash64(target)


def uri(value: str) -> int:
    """A uri, as it is."""
    return hash64(value)


def own_term(resource_type: str, resource_id: str) -> int:
    """The first term of a resource: what references to it hash to."""
    return hash64(f"{resource_type}/{resource_id}")


@cache
def contained_term(resource_type: str) -> int:
    """What a resource has among its terms if it contains one of a type."""
    return hash64(f"contained{_PART}{resource_type}")


@lru_cache(maxsize=1 << 16)
def coding_hashes(system: str | None, code: str | None) -> tuple[int, ...]:
    """The forms in which a Coding is searched: code, system and code, system alone."""
    if code is None:
        return () if system is None else (system_only(system),)
    if system is None:
        return any_system(code), in_system("", code)
    return any_system(code), in_system(system, code), system_only(system)


def identifier_hashes(system: str | None, value: str | None) -> tuple[int, ...]:
    """As coding_hashes, not remembered: identifiers are many and name people."""
    return coding_hashes.__wrapped__(system, value)


# A code with a number beside it lies at 64 bits: the first 44 are parameter and code, the last 20 the system,
# so that one row serves both: a code in any system is a range of such numbers.
_SYSTEM_BITS = 20
_SYSTEM_MASK = (1 << _SYSTEM_BITS) - 1


@lru_cache(maxsize=1 << 16)
def code_number(resource_type: str, parameter: str, system: str | None, code: str) -> int:
    """Column `code` of the code_value table."""
    first, last = code_range(resource_type, parameter, code)
    return first | (hash64(system or "") & _SYSTEM_MASK)


def code_range(resource_type: str, parameter: str, code: str) -> tuple[int, int]:
    """First and last number of a code in any system."""
    first = (parameter_hash(resource_type, parameter) ^ any_system(code)) & ~_SYSTEM_MASK
    return first, first | _SYSTEM_MASK


# A unit is 64 bits too: 24 of the code, 24 of the human unit, 16 of the system.
_UNIT_MASK = (1 << 24) - 1
CODE_SHIFT, HUMAN_SHIFT = 40, 16
SYSTEM_MASK = (1 << 16) - 1


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def unit_code_bits(code: str) -> int:
    """The bits of a unit's code, at the place of the code."""
    return _signed((hash64(code) & _UNIT_MASK) << CODE_SHIFT)


def unit_human_bits(text: str) -> int:
    """The bits of a unit's text, at the place of the text."""
    return (hash64(text) & _UNIT_MASK) << HUMAN_SHIFT


def unit_system_bits(system: str) -> int:
    """The bits of a unit's system."""
    return hash64(system) & SYSTEM_MASK


CODE_MASK = _signed(_UNIT_MASK << CODE_SHIFT)
HUMAN_MASK = _UNIT_MASK << HUMAN_SHIFT


@lru_cache(maxsize=4096)
def unit_number(system: str | None, code: str | None, human: str | None) -> int | None:
    """Column `unit` of the range table; None for a number without any unit."""
    if code is None and human is None:
        return None
    number = unit_human_bits(human) if human is not None else 0
    if code is not None:
        number |= unit_code_bits(code)
    if system is not None:
        number |= unit_system_bits(system)
    return number
