"""Settings from the environment refuse nonsense, and say what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from clinical_records.env import database_url, envbool, envint, envlist, envsecret, envstr


@pytest.mark.parametrize(("text", "value"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("no", False)])
def test_booleans(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv("FLAG", text)
    assert envbool("FLAG", not value) is value


@pytest.mark.parametrize("text", ["maybe", "2", "sí", "truefalse"])
def test_a_boolean_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FLAG", text)
    with pytest.raises(ImproperlyConfigured, match="FLAG="):
        envbool("FLAG")


def test_defaults_where_nothing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTHING", raising=False)
    assert envbool("NOTHING", True) is True
    assert envint("NOTHING", 7) == 7
    assert envstr("NOTHING", "x") == "x"
    assert envlist("NOTHING", ("a", "b")) == ["a", "b"]
    assert envsecret("NOTHING") is None


@pytest.mark.parametrize(
    ("text", "reason"), [("ten", "whole number"), ("1.5", "whole number"), ("0", "between 1 and 9")]
)
def test_a_number_that_is_none_or_out_of_range_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    monkeypatch.setenv("COUNT", text)
    with pytest.raises(ImproperlyConfigured, match=reason):
        envint("COUNT", 5, minimum=1, maximum=9)


def test_one_of_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORMAT", "xml")
    with pytest.raises(ImproperlyConfigured, match="json, plain"):
        envstr("FORMAT", "json", choices=frozenset({"json", "plain"}))


@pytest.mark.parametrize("secret", ["short", "a" * 64, "changeme"])
def test_a_weak_secret_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("SECRET", secret)
    with pytest.raises(ImproperlyConfigured) as refused:
        envsecret("SECRET")
    assert secret not in str(refused.value)


def test_a_value_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("0123456789abcdefghijklmnopqrstuvwxyz\n")
    monkeypatch.setenv("SECRET_FILE", str(file))
    assert envsecret("SECRET") == "0123456789abcdefghijklmnopqrstuvwxyz"
    monkeypatch.setenv("SECRET", "another")
    with pytest.raises(ImproperlyConfigured, match="both set"):
        envsecret("SECRET")


def test_a_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET_FILE", str(tmp_path / "missing"))
    with pytest.raises(ImproperlyConfigured, match="SECRET_FILE"):
        envsecret("SECRET")


URLS = {
    "postgres://ana:p%40ss@db.example:5433/records": ("records", "ana", "p@ss", "db.example", "5433", {}),
    "postgresql://u@a:5432,b:5433/records?target_session_attrs=primary": (
        *("records", "u", "", "a,b", "5432,5433"),
        {"target_session_attrs": "primary"},
    ),
    "postgres://u@%2Frun%2Fpostgresql/records": ("records", "u", "", "/run/postgresql", "", {}),
    "postgres:///records?host=/run/postgresql&port=5434": ("records", "", "", "/run/postgresql", "5434", {}),
    "postgres://u@[::1]:5432/records": ("records", "u", "", "::1", "5432", {}),
    "postgres://a,b/records?sslmode=verify-full": ("records", "", "", "a,b", "", {"sslmode": "verify-full"}),
}


@pytest.mark.parametrize("url", URLS)
def test_database_urls(url: str) -> None:
    found = database_url(url)
    assert tuple(found.values()) == URLS[url]


@pytest.mark.parametrize("url", URLS)
def test_database_urls_mean_what_libpq_takes_them_for(url: str) -> None:
    found = database_url(url)
    ours = {"dbname": found["NAME"], "user": found["USER"], "password": found["PASSWORD"]}
    ours |= {"host": found["HOST"], "port": found["PORT"], **found["OPTIONS"]}
    assert {name: value for name, value in ours.items() if value} == {
        name: value for name, value in conninfo_to_dict(url).items() if value and set(str(value)) != {","}
    }


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://u@h/db", "must begin"),
        ("host=h dbname=db", "must begin"),
        ("postgres://u@h", "no database"),
        ("postgres://u@h:port/db", "not a port"),
        ("postgres://u@h:99999/db", "not a port"),
        ("postgres://u@[::1/db", "not a host"),
    ],
)
def test_database_urls_that_are_refused(url: str, reason: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=reason):
        database_url(url)


@given(st.text(alphabet="postgres:/@[],?=&%u.0123456789h", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = database_url(f"postgres://{text}")
    except ImproperlyConfigured:
        return
    assert found["NAME"]
