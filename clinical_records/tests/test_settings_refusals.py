"""Production settings refuse to serve where something is missing; the demo makes what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings

from accounts.demo import create_demo_users
from accounts.models import User
from clinical_records.testing import database_environment

SECRET = "9kf83jf0wmf9ejf02kf9wjf8wnf0skd8"
SERVE = "import clinical_records.wsgi"


def run(code: str, tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Python with this project's production settings and nothing else in the environment but `variables`."""
    environment = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "clinical_records.settings"}
    environment |= {"CLINICAL_RECORDS_VAR": str(tmp_path), **variables}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_no_secret(tmp_path: Path) -> None:
    result = run(SERVE, tmp_path)
    assert result.returncode != 0
    assert "Set SECRET_KEY or SECRET_KEY_FILE" in result.stderr
    assert not (tmp_path / "secret_key").exists()


@pytest.mark.parametrize("secret", ["django-insecure", "x" * 50])
def test_a_weak_secret(tmp_path: Path, secret: str) -> None:
    result = run(SERVE, tmp_path, SECRET_KEY=secret)
    assert result.returncode != 0
    assert "SECRET_KEY is too weak" in result.stderr


def test_no_host_names(tmp_path: Path, database: None) -> None:
    result = run(SERVE, tmp_path, SECRET_KEY=SECRET, **database_environment())
    assert result.returncode != 0
    assert "There are no ALLOWED_HOSTS." in result.stderr


def test_demo_users(tmp_path: Path, database: None) -> None:
    variables = {"SECRET_KEY": SECRET, "ALLOWED_HOSTS": "records.example", **database_environment()}
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.BCryptSHA256PasswordHasher"]):
        made = create_demo_users()
    try:
        result = run(SERVE, tmp_path, **variables)
        assert result.returncode != 0
        assert "accounts.E001" in result.stderr
    finally:
        User.objects.filter(pk__in=[user.pk for user in made]).delete()
    result = run(SERVE, tmp_path, **variables)
    assert result.returncode == 0, result.stderr


def test_the_demo_makes_its_secret_once(tmp_path: Path) -> None:
    code = "from django.conf import settings; print(settings.SECRET_KEY)"
    first, second = (run(code, tmp_path, DEMO_MODE="1").stdout for _ in range(2))
    assert first == second
    assert len(first.strip()) >= 64
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
