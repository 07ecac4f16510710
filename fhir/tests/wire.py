"""A proxy in front of PostgreSQL that counts what the client really sends: the witness of fhir.database.trips()."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
from types import TracebackType

PORT = 5432  # a part of the socket's name


class Wire:
    """A context manager; `folder` is the host to connect to, with PORT.

    `trips` counts how often the client begins to send after the server has spoken: each time it had waited.
    """

    def __init__(self, host: str, port: int) -> None:
        self.upstream = (host, port)
        self.folder = tempfile.mkdtemp(prefix="wire-", dir="/tmp")  # short: a socket's path has 107 bytes at most
        self.trips = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(self.folder, f".s.PGSQL.{PORT}"))
        self.listener.listen()

    def __enter__(self) -> Wire:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.listener.close()
        shutil.rmtree(self.folder)

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self.listener.accept()
            except OSError:
                return  # the listener was closed
            _Proxied(self, client, self._connect())

    def _connect(self) -> socket.socket:
        host, port = self.upstream
        if host.startswith("/"):
            upstream = socket.socket(socket.AF_UNIX)
            upstream.connect(os.path.join(host, f".s.PGSQL.{port}"))
            return upstream
        return socket.create_connection((host, port))


class _Proxied:
    """One connection: two threads that pass bytes on."""

    def __init__(self, wire: Wire, client: socket.socket, upstream: socket.socket) -> None:
        self.wire, self.client, self.upstream = wire, client, upstream
        self.heard = True
        threading.Thread(target=self._to_server, daemon=True).start()
        threading.Thread(target=self._to_client, daemon=True).start()

    def _to_server(self) -> None:
        while data := _received(self.client):
            if self.heard:
                self.wire.trips += 1
                self.heard = False
            self.upstream.sendall(data)
        self.upstream.close()

    def _to_client(self) -> None:
        while data := _received(self.upstream):
            self.heard = True
            self.client.sendall(data)
        self.client.close()


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(1 << 16)
    except OSError:
        return b""
