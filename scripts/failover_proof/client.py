"""One client of the server: a thread's connection, whose every request is in the ledger."""

from __future__ import annotations

import http.client
import re
import socket
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from fhir import json

from .ledger import Call, Ledger, Written

HANG_SECONDS = 30.0
_PLACE = re.compile(r"(\w+)/([A-Za-z0-9\-.]+)/_history/(\d+)$")


class Wrong(Exception):
    """The answer is not what it must be; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers with names in lower case, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def resource(self) -> Any:
        """The JSON of the body. Raises Wrong."""
        try:
            return json.loads(self.body)
        except json.DecodeError as error:
            raise Wrong(f"the body is no JSON: {error}") from error


Check = Callable[[Answer], None]


def nothing(_answer: Answer) -> None:
    """A check that has nothing to ask."""


class Client:
    """Requests of one thread to 127.0.0.1:`port`."""

    def __init__(self, port: int, ledger: Ledger, token: str = "") -> None:
        self.port, self.ledger, self.token = port, ledger, token
        self.connection: http.client.HTTPConnection | None = None

    def ask(
        self,
        kind: str,
        nodes: Collection[int],
        method: str,
        path: str,
        body: Any = None,
        *,
        expect: Collection[int],
        writes: tuple[Written, ...] = (),
        check: Check = nothing,
        **headers: str,
    ) -> Call:
        """One request, judged and written into the ledger. `check` raises Wrong for an answer of an expected status."""
        call = Call(str(uuid.uuid4()), kind, frozenset(nodes), self.ledger.now(), writes)
        self.ledger.begin(call)
        try:
            answer = self._send(call, method, path, body, headers)
        except TimeoutError:
            self.close()
            self.ledger.end(call, None, f"no answer within {HANG_SECONDS:.0f} s")
            return call
        except (OSError, http.client.HTTPException) as error:
            self.close()
            self.ledger.end(call, None, f"connection lost: {type(error).__name__}")
            return call
        self.ledger.end(call, answer.status, self._fault(answer, expect, check))
        return call

    def _fault(self, answer: Answer, expect: Collection[int], check: Check) -> str:
        if answer.status == 503:
            return "" if answer.headers.get("retry-after") else "503 without Retry-After"
        if answer.status not in expect:
            return f"status {answer.status}: {answer.body[:300].decode(errors='replace')}"
        try:
            check(answer)
        except Wrong as wrong:
            return str(wrong)
        return ""

    def _send(self, call: Call, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG_SECONDS)
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sent = {"Accept": "application/fhir+json", "X-Request-Id": call.request_id}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            sent.setdefault("Content-Type", "application/fhir+json")
        data = None if body is None else json.dumps(body)
        self.connection.request(method, path, data, sent)
        response = self.connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def close(self) -> None:
        """Hang up; the next request connects anew."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def place_of(location: str | None) -> tuple[str, str, int]:
    """Type, id and version in a Location. Raises Wrong."""
    found = _PLACE.search(location or "")
    if not found:
        raise Wrong(f"no version in the location {location!r}")
    return found[1], found[2], int(found[3])
