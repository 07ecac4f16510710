"""The grammar (https://hl7.org/fhirpath/N1/#grammar): trees, precedence, literals, and where errors are."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir.fhirpath.ast import (
    Binary,
    Call,
    EmptyCollection,
    ExternalConstant,
    Indexer,
    Literal,
    Member,
    Polarity,
    Special,
    TypeExpression,
)
from fhir.fhirpath.exceptions import FhirPathLimitError, FhirPathSyntaxError
from fhir.fhirpath.parser import parse


def member(*names):
    node = None
    for name in names:
        node = Member(0, node, name)
    return node


def integer(value):
    return Literal(0, "System.Integer", value)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("name.given", member("name", "given")),
        ("`div`.`a b`", member("div", "a b")),
        ("contains.is", member("contains", "is")),
        ("name[0]", Indexer(0, member("name"), integer(0))),
        ("name.first()", Call(0, member("name"), "first", ())),
        ("iif(a, b)", Call(0, None, "iif", (member("a"), member("b")))),
        ("$this", Special(0, "this")),
        ("{}", EmptyCollection(0)),
        ("%ucum", ExternalConstant(0, "ucum")),
        ("%`ext-a`", ExternalConstant(0, "ext-a")),
        ("%'a b'", ExternalConstant(0, "a b")),
        ("%vs-name", ExternalConstant(0, "vs-name")),
        ("a as FHIR.Quantity", TypeExpression(0, "as", member("a"), "FHIR.Quantity")),
        ("-1", Polarity(0, "-", integer(1))),
        ("true", Literal(0, "System.Boolean", True)),
        ("// comment\n1 /* another */", integer(1)),
        ("4 days", Literal(0, "System.Quantity", {"value": Decimal(4), "unit": "day"})),
    ],
)
def test_it_builds_the_tree(text, tree):
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("1 - 2 - 3", "(1 - 2) - 3"),
        ("a or b and c", "a or (b and c)"),
        ("a implies b or c", "a implies (b or c)"),
        ("a and b = c", "a and (b = c)"),
        ("a in b | c", "a in (b | c)"),
        ("a = b < c", "a = (b < c)"),
        ("a | b is c", "a | (b is c)"),
        ("-a.b", "-(a.b)"),
        ("a | b + c", "a | (b + c)"),
        ("a and b in c", "a and (b in c)"),
        ("a.b[1].c", "((a.b)[1]).c"),
    ],
)
def test_precedence(text, grouped):
    assert parse(text) == parse(grouped)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("'a\\'b\\\\\\n\\u0041'", "System.String", "a'b\\\nA"),
        ("1.50", "System.Decimal", Decimal("1.50")),
        ("@2015", "System.Date", "2015"),
        ("@2015-02T", "System.DateTime", "2015-02"),
        ("@2015-02-04T14:34:28.123+10:00", "System.DateTime", "2015-02-04T14:34:28.123+10:00"),
        ("@T14:34", "System.Time", "14:34"),
        ("4 'mg'", "System.Quantity", {"value": Decimal(4), "system": "http://unitsofmeasure.org", "code": "mg"}),
    ],
)
def test_literals(text, kind, value):
    tree = parse(text)
    assert isinstance(tree, Literal)
    assert (tree.type, tree.value) == (kind, value)
    assert str(tree.value) == str(value)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("a.", 2),
        ("a b", 2),
        ("a.where(", 8),
        ("a.where(b", 9),
        ("1 + ", 4),
        ("'open", 0),
        ("'\\q'", 1),
        ("a ~~ b", 3),
        ("a[1", 3),
        ("@2015-13-01", 0),
        ("@2015-02-30", 0),
        ("@T25:00", 0),
        ("a.#", 2),
        ("%", 1),
        ("$that", 0),
        ("/* never closed", 0),
        ("9" * 200, 0),
    ],
)
def test_errors_say_where(text, position):
    with pytest.raises(FhirPathSyntaxError) as error:
        parse(text)
    assert error.value.position == position


def test_deep_nesting_is_refused():
    with pytest.raises(FhirPathLimitError, match="deep"):
        parse("(" * 5000 + "1" + ")" * 5000)

    with pytest.raises(FhirPathLimitError, match="deep"):
        parse("a" + ".b" * 500)


def test_long_expressions_are_refused():
    with pytest.raises(FhirPathLimitError, match="20000"):
        parse("a." * 20_000 + "b")


@given(st.text(alphabet=" .()[]'`%$@|&+-*/=~!<>,{}\\0129abTZ:\n", max_size=40))
def test_any_text_parses_or_says_where_not(text):
    try:
        parse(text)
    except FhirPathSyntaxError as error:
        assert 0 <= error.position <= len(text)


names = st.from_regex(r"[a-z]{1,4}", fullmatch=True).filter(
    lambda n: n not in ("and", "or", "xor", "div", "mod", "in", "is", "as", "true")
)
_ESCAPES = str.maketrans({"'": "\\'", "\\": "\\\\", "\n": "\\n"})


@given(st.text(max_size=30).filter(lambda s: "\x00" not in s))
def test_strings_survive_quoting(text):
    tree = parse("'" + text.translate(_ESCAPES) + "'")
    assert isinstance(tree, Literal)
    assert tree.value == text


@given(names, names, st.sampled_from(["+", "*", "and", "or", "|", "=", "<", "in"]))
def test_binary_operators(left, right, operator):
    tree = parse(f"{left} {operator} {right}")
    assert tree == Binary(0, operator, member(left), member(right))
