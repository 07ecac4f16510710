"""A cheap HTTP/1.1 client: one thread, raw sockets, keep-alive; answers are checked after the clock has stopped."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

TIMEOUT_SECONDS = 120
_END_OF_HEADERS = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(slots=True)
class Response:
    """One answer: header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Request:
    """The bytes to send, and a check that raises AssertionError for an answer that is not right."""

    data: bytes
    check: Callable[[Response], None]


@dataclass(slots=True)
class Result:
    """`seconds` of wall time for all requests, `latencies` in seconds, one for each."""

    seconds: float
    latencies: list[float] = field(default_factory=list)


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    request: Request | None = None
    started: float = 0.0
    received: bytearray = field(default_factory=bytearray)
    needed: int = -1


def render(method: str, path: str, token: str | None = None, body: bytes | None = None, **headers: str) -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/fhir+json"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None:
        headers = {"Content-Type": "application/fhir+json", **headers}
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + _END_OF_HEADERS + (body or b"")


def run(port: int, requests: Sequence[Request], clients: int) -> Result:
    """Sends the requests over `clients` connections, each with one request under way, and checks every answer.

    Raises AssertionError for a wrong answer, TimeoutError for none.
    """
    answers: list[tuple[Request, bytes]] = []
    waiting = iter(requests)
    connections = [_connect(port) for _number in range(min(clients, len(requests)))]
    selector = selectors.DefaultSelector()
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    start = time.perf_counter()
    latencies = _drive(selector, connections, waiting, answers)
    seconds = time.perf_counter() - start
    selector.close()
    for connection in connections:
        connection.socket.close()
    for request, answer in answers:
        request.check(parse(answer))
    assert len(answers) == len(requests), "an answer is missing"
    return Result(seconds, latencies)


class Session:
    """One connection that is kept, for one request after the other; a context manager."""

    def __init__(self, port: int) -> None:
        self.connection = _connect(port)

    def __enter__(self) -> Session:
        return self

    def ask(self, request: Request) -> float:
        """Seconds until the whole answer was there. Raises AssertionError for a wrong one, TimeoutError for none."""
        _send_next(self.connection, iter([request]))
        while not _receive(self.connection):
            pass
        seconds = time.perf_counter() - self.connection.started
        request.check(parse(bytes(self.connection.received)))
        return seconds

    def __exit__(self, *_error: object) -> None:
        self.connection.socket.close()


def _connect(port: int) -> _Connection:
    sock = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _Connection(sock)


def _drive(
    selector: selectors.BaseSelector,
    connections: Sequence[_Connection],
    waiting: Iterator[Request],
    answers: list[tuple[Request, bytes]],
) -> list[float]:
    latencies: list[float] = []
    busy = sum(_send_next(connection, waiting) for connection in connections)
    while busy:
        ready = selector.select(TIMEOUT_SECONDS)
        if not ready:
            raise TimeoutError(f"no answer within {TIMEOUT_SECONDS} s")
        for key, _events in ready:
            connection: _Connection = key.data
            if _receive(connection):
                latencies.append(time.perf_counter() - connection.started)
                assert connection.request is not None
                answers.append((connection.request, bytes(connection.received)))
                busy -= not _send_next(connection, waiting)
    return latencies


def _send_next(connection: _Connection, waiting: Iterator[Request]) -> bool:
    request = next(waiting, None)
    connection.request, connection.received, connection.needed = request, bytearray(), -1
    if request is None:
        return False
    connection.started = time.perf_counter()
    connection.socket.sendall(request.data)
    return True


def _receive(connection: _Connection) -> bool:
    """Reads what there is; True when the answer is whole."""
    chunk = connection.socket.recv(1 << 18)
    if not chunk:
        raise ConnectionError(f"the server hung up after {bytes(connection.received[:200])!r}")
    received = connection.received
    received += chunk
    if connection.needed < 0:
        end = received.find(_END_OF_HEADERS)
        if end < 0:
            return False
        length = _content_length(bytes(received[:end]))
        connection.needed = 0 if length is None else end + 4 + length
    if connection.needed == 0:
        return received.endswith(_LAST_CHUNK)
    return len(received) >= connection.needed


def _content_length(head: bytes) -> int | None:
    """The bytes of the body; None for a chunked one."""
    for line in head.split(b"\r\n")[1:]:
        name, _colon, value = line.lower().partition(b":")
        if name.strip() == b"content-length":
            return int(value)
        if name.strip() == b"transfer-encoding" and value.strip() == b"chunked":
            return None
    return 0


def parse(answer: bytes) -> Response:
    """The parts of a whole answer."""
    head, _blank, body = answer.partition(_END_OF_HEADERS)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b"".join(_chunks(body))
    return Response(int(first.split()[1]), headers, body)


def _chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _end, rest = body.partition(b"\r\n")
        length = int(size, 16)
        yield rest[:length]
        body = rest[length + 2 :]


def fetch(port: int, data: bytes, status: int = 200) -> Response:
    """One request on a connection of its own. Raises AssertionError for another status."""
    kept: list[Response] = []
    run(port, [Request(data, kept.append)], 1)
    assert kept[0].status == status, f"{kept[0].status}: {kept[0].body[:500]!r}"
    return kept[0]


def log_in(port: int, username: str, password: str) -> str:
    """The access token of a user."""
    body = json.dumps({"username": username, "password": password}).encode()
    data = render("POST", "/auth/login", body=body, **{"Content-Type": "application/json"})
    token = json.loads(fetch(port, data).body)["access"]
    assert isinstance(token, str)
    return token
