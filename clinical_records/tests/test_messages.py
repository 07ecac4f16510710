"""Every text for people is translated, and the compiled catalogue is the one that the texts make."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from babel.messages.catalog import Catalog
from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext

SCRIPT = Path(settings.BASE_DIR) / "scripts" / "messages.py"


@pytest.fixture(scope="module")
def messages() -> ModuleType:
    specification = importlib.util.spec_from_file_location("messages", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_every_text_is_translated_and_compiled() -> None:
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stdout


def test_the_compiled_catalogue_is_the_one_that_is_served() -> None:
    with translation.override("es"):
        assert gettext("A FHIR R4 server for clinical records.") == "Un servidor FHIR R4 para historias clínicas."


def test_collected_from_code_and_templates(messages: ModuleType) -> None:
    template = messages.collect()
    assert "State of the server" in template
    assert "The server does not answer." in template


@pytest.mark.parametrize(
    ("translated", "problem"),
    [
        ("", "not translated"),
        ("Hay %(numero)s pacientes.", "other placeholders"),
        ("Hay pacientes.", "other placeholders"),
    ],
)
def test_what_is_wrong_is_found(messages: ModuleType, tmp_path: Path, translated: str, problem: str) -> None:
    template = Catalog(charset="utf-8")
    template.add("There are %(count)s patients.")
    path = tmp_path / "es" / "LC_MESSAGES" / "django.po"
    path.parent.mkdir(parents=True)
    have = Catalog(locale="es", charset="utf-8")
    have.add("There are %(count)s patients.", translated)
    messages.write(path, have)
    assert [line.partition(":")[0] for line in messages.problems(path, template)] == [problem]


def test_a_text_that_is_no_longer_used_and_an_old_compilation_are_found(messages: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "es" / "LC_MESSAGES" / "django.po"
    path.parent.mkdir(parents=True)
    have = Catalog(locale="es", charset="utf-8")
    have.add("Hello", "Hola")
    messages.write(path, have)
    path.write_bytes(path.read_bytes().replace(b"Hola", b"Buenas"))
    found = list(messages.problems(path, Catalog(charset="utf-8")))
    assert found == ["no longer used: 'Hello'", "django.mo is out of date"]


def test_a_second_update_changes_nothing(messages: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "es" / "LC_MESSAGES" / "django.po"
    path.parent.mkdir(parents=True)
    original = next(messages.catalogues())
    path.write_bytes(original.read_bytes())
    messages.write(path, messages.update(path, messages.collect(), []))
    assert path.read_bytes() == original.read_bytes()


def test_no_text_hides_in_an_f_string(messages: ModuleType) -> None:
    """Calls inside f-strings are not collected by all versions of Python."""
    hidden = [
        f"{path}:{call.lineno}"
        for path in messages.files()
        if path.suffix == ".py"
        for text in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(text, ast.JoinedStr)
        for call in ast.walk(text)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in messages.KEYWORDS
    ]
    assert hidden == []
