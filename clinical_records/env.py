"""Settings read from the environment: working defaults, and a clear refusal of nonsense.

Every setting `NAME` may also be given as `NAME_FILE`, the path of a file that holds the value (container secrets).
All functions raise ImproperlyConfigured.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from django.core.exceptions import ImproperlyConfigured

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})
URL_SCHEMES = frozenset({"postgres", "postgresql"})


def _given(name: str) -> str | None:
    """The value of NAME, or the content of the file that NAME_FILE names, or None."""
    value, path = os.environ.get(name), os.environ.get(f"{name}_FILE")
    if path is None:
        return value
    if value is not None:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set: give one of them.")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name}_FILE: {path} cannot be read ({error}).") from error


def envstr(name: str, default: str = "", *, choices: frozenset[str] | None = None) -> str:
    """A text; one of `choices` where these are given."""
    value = _given(name)
    value = default if value is None else value.strip()
    if choices is not None and value not in choices:
        raise ImproperlyConfigured(f"{name}={value!r} is not one of: {', '.join(sorted(choices))}.")
    return value


def envbool(name: str, default: bool = False) -> bool:
    """1, true, yes, on; 0, false, no, off, or nothing."""
    value = _given(name)
    if value is None:
        return default
    word = value.strip().lower()
    if word not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name}={value!r} is neither true nor false: use 1 or 0.")
    return word in TRUE


def envint(name: str, default: int, *, minimum: int = 0, maximum: int | None = None) -> int:
    """A whole number between `minimum` and `maximum`, both included."""
    value = _given(name)
    if value is None or not value.strip():
        return default
    try:
        number = int(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}={value!r} is not a whole number.") from error
    if number < minimum or (maximum is not None and number > maximum):
        allowed = f"at least {minimum}" if maximum is None else f"between {minimum} and {maximum}"
        raise ImproperlyConfigured(f"{name}={number} is out of range: it must be {allowed}.")
    return number


def envlist(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """Texts between commas."""
    value = _given(name)
    return list(default) if value is None else [part.strip() for part in value.split(",") if part.strip()]


def envsecret(name: str, *, minimum_length: int = 32) -> str | None:
    """A secret of at least `minimum_length` characters, or None where none is given."""
    value = _given(name)
    if value is None or not value:
        return None
    if len(value) < minimum_length or len(set(value)) < 8:
        raise ImproperlyConfigured(f"{name} is too weak: it needs {minimum_length} or more varied characters.")
    return value


def database_url(url: str) -> dict[str, Any]:
    """Django's NAME, USER, PASSWORD, HOST, PORT and OPTIONS from a connection URI of libpq.

    Several hosts are allowed (`postgres://u:p@a:5432,b:5433/db?target_session_attrs=read-write`), and so is a folder
    with a socket, quoted (`postgres://u@%2Frun%2Fpostgresql/db`) or as `?host=/run/postgresql`.
    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in URL_SCHEMES:
        raise ImproperlyConfigured("DATABASE_URL must begin with postgres:// or postgresql://.")
    address, _, query = rest.partition("?")
    authority, _, name = address.partition("/")
    credentials, at, places = authority.rpartition("@")
    user, _, password = credentials.partition(":") if at else ("", "", "")
    options: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    hosts, ports = _hosts(places)
    settings = {
        "NAME": options.pop("dbname", unquote(name)),
        "USER": options.pop("user", unquote(user)),
        "PASSWORD": options.pop("password", unquote(password)),
        "HOST": options.pop("host", hosts),
        "PORT": options.pop("port", ports),
        "OPTIONS": options,
    }
    if not settings["NAME"]:
        raise ImproperlyConfigured("DATABASE_URL names no database: end it with /name.")
    return settings


def _hosts(places: str) -> tuple[str, str]:
    """The hosts and the ports, between commas, as libpq wants them."""
    if not places:
        return "", ""
    hosts, ports = [], []
    for place in places.split(","):
        host, port = _host_and_port(place)
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ImproperlyConfigured(f"DATABASE_URL: {port!r} is not a port.")
        hosts.append(unquote(host))
        ports.append(port)
    return ",".join(hosts), ",".join(ports) if any(ports) else ""


def _host_and_port(place: str) -> tuple[str, str]:
    """One host, an IPv6 address without its brackets, and its port or nothing."""
    if place.startswith("["):
        host, bracket, tail = place[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise ImproperlyConfigured(f"DATABASE_URL: {place!r} is not a host.")
        return host, tail[1:]
    host, _, port = place.partition(":")
    return host, port
