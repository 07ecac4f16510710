"""What the tests of all apps use: a client of the API in process, and a real server in another process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

from django.conf import settings
from django.db import connection
from django.test import Client

from accounts.models import User
from accounts.sessions import open_session
from fhir import json

FHIR_JSON = "application/fhir+json"
START_SECONDS = 60


class ApiClient:
    """Requests to the FHIR API; paths are relative to its base, or absolute with a leading slash."""

    def __init__(self, access_token: str | None = None, user: User | None = None) -> None:
        self.client = Client(raise_request_exception=False)
        self.access_token, self.user = access_token, user

    @classmethod
    def logged_in(cls, role: str = "administrator", **about: Any) -> ApiClient:
        """A client with a fresh user of this role; `about` holds further fields of the user."""
        user = User(username=f"{role}-{uuid4().hex[:12]}", role=role, **about)
        user.set_unusable_password()
        user.save()
        return cls(open_session(user, "127.0.0.1").access, user)

    def send(self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Any:
        """The response; `body` is a resource, or bytes that are sent as they are. `.resource()` reads the answer."""
        sent = {"Accept": FHIR_JSON, **(headers or {})}
        if self.access_token:
            sent.setdefault("Authorization", f"Bearer {self.access_token}")
        content_type = next((sent.pop(name) for name in list(sent) if name.lower() == "content-type"), FHIR_JSON)
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body)
        url = path if path.startswith("/") else f"{settings.FHIR_BASE_PATH}/{path}".rstrip("/")
        if url.startswith(f"{settings.FHIR_BASE_PATH}/?"):
            url = url.replace("/?", "?", 1)
        response = self.client.generic(method, url, data, content_type=content_type, headers=sent)
        response.resource = lambda: json.loads(response.content)  # type: ignore[attr-defined]
        return response

    def get(self, path: str, **headers: Any) -> Any:
        return self.send("GET", path, **headers)

    def head(self, path: str, **headers: Any) -> Any:
        return self.send("HEAD", path, **headers)

    def post(self, path: str, body: Any = None, **headers: Any) -> Any:
        return self.send("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: Any) -> Any:
        return self.send("PUT", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: Any) -> Any:
        return self.send("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: Any) -> Any:
        return self.send("DELETE", path, **headers)

    def form(self, path: str, fields: str, **headers: Any) -> Any:
        """POST of an encoded form, as for _search."""
        kind = {"Content-Type": "application/x-www-form-urlencoded", **headers.pop("headers", {})}
        return self.send("POST", path, fields.encode(), headers=kind, **headers)


def free_port() -> int:
    """A TCP port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def database_environment() -> dict[str, str]:
    """What makes another process use the database that this one is connected to."""
    at = connection.settings_dict
    query = {"host": at["HOST"], "port": at["PORT"], "user": at["USER"], "password": at["PASSWORD"]}
    given = urlencode({name: value for name, value in query.items() if value})
    return {"DATABASE_URL": f"postgres:///{quote(at['NAME'])}?{given}"}


class GunicornServer:
    """A gunicorn of this project on a free port; a context manager. `url` is its address."""

    def __init__(self, folder: Path, *, settings_module: str = "clinical_records.test_settings", **more: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "gunicorn.log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DATABASE_URL")},
            **database_environment(),
            "DJANGO_SETTINGS_MODULE": settings_module,
            "PORT": str(self.port),
            **more,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> GunicornServer:
        command = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "clinical_records.wsgi"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=settings.BASE_DIR, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self._wait()
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise RuntimeError(f"gunicorn ended:\n{self.log.read_text()}")
            try:
                with urllib.request.urlopen(f"{self.url}/health/live", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError(f"gunicorn does not answer:\n{self.log.read_text()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
