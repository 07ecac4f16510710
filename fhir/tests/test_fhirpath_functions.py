"""Functions and operators on literals, family by family (https://hl7.org/fhirpath/N1/#functions)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from fhir.fhirpath import (
    Environment,
    FhirPathEvaluationError,
    FhirPathLimitError,
    FhirPathTypeError,
    compile_expression,
    evaluate,
)

PATIENT = {"resourceType": "Patient", "active": True}


def value(expression, **variables):
    return evaluate(expression, PATIENT, variables=variables)


def case(table):
    """Lines of `expression => values`, where values is an expression too."""
    lines = [line.split(" => ") for line in table.strip().splitlines()]
    return pytest.mark.parametrize(("expression", "expected"), [(a.strip(), b.strip()) for a, b in lines])


@case("""
(1 | 2 | 2).count() => 2
(1 | 2).combine(2).count() => 3
(1 | 2).union(2 | 3) => 1 | 2 | 3
{}.exists() => false
(1 | 2).exists($this > 1) => true
(1 | 2).all($this > 1) => false
{}.all($this > 1) => true
(true | false).allTrue() => false
(true | false).anyTrue() => true
(true | false).allFalse() => false
(true | false).anyFalse() => true
(1 | 2).subsetOf(1 | 2 | 3) => true
(1 | 2).supersetOf(1 | 2 | 3) => false
(1 | 2).combine(1 | 3).isDistinct() => false
(1 | 2).combine(1 | 3).distinct() => 1 | 2 | 3
""")
def test_existence(expression, expected):
    assert value(expression) == value(expected)


@case("""
(1 | 2 | 3).where($this > 1) => 2 | 3
(1 | 2 | 3).where($index = 1) => 2
(1 | 2 | 3).select($this + 1) => 2 | 3 | 4
(1 | 2 | 3).select($index) => 0 | 1 | 2
(1 | 2).repeat(iif($this < 5, $this + 1)) => 2 | 3 | 4 | 5
('a' | 1).ofType(Integer) => 1
(1 | 2 | 3)[1] => 2
(1 | 2 | 3)[-1] => {}
(1 | 2 | 3)[9] => {}
(1 | 2 | 3).first() => 1
(1 | 2 | 3).last() => 3
(1 | 2 | 3).tail() => 2 | 3
(1 | 2 | 3).skip(2) => 3
(1 | 2 | 3).skip(-1) => 1 | 2 | 3
(1 | 2 | 3).take(2) => 1 | 2
(1 | 2 | 3).take(0) => {}
(1 | 2 | 3).intersect(2 | 3 | 4) => 2 | 3
(1 | 2 | 3).exclude(2) => 1 | 3
(1).single() => 1
(1 | 2 | 3).aggregate($this + $total, 10) => 16
(3 | 1 | 2).sort() => 1 | 2 | 3
(3 | 1 | 2).sort(-$this) => 3 | 2 | 1
iif(false, 1, 2) => 2
iif(false, 1) => {}
iif(true, 1, 1/0) => 1
""")
def test_filtering_projection_and_subsetting(expression, expected):
    assert value(expression) == value(expected)


@case("""
'abc'.indexOf('c') => 2
'abcabc'.lastIndexOf('c') => 5
'abc'.substring(1) => 'bc'
'abc'.substring(1, 1) => 'b'
'abc'.substring(3) => {}
'abc'.startsWith('ab') => true
'abc'.endsWith('ab') => false
'abc'.contains('b') => true
'aBc'.upper() => 'ABC'
'aBc'.lower() => 'abc'
'aba'.replace('a', 'x') => 'xbx'
'N8000123123'.matches('N[0-9]{8}') => true
'abc'.matches('^b$') => false
'abc'.matchesFull('a.c') => true
'11/30/1972'.replaceMatches('(\\\\d+)/(\\\\d+)/(\\\\d+)', '$3-$1-$2') => '1972-11-30'
'abc'.length() => 3
'ab'.toChars() => 'a' | 'b'
' a '.trim() => 'a'
'a,b'.split(',') => 'a' | 'b'
('a' | 'b').join('-') => 'a-b'
'a' & {} & 'b' => 'ab'
'a' + {} => {}
'<'.escape('html') => '&lt;'
'&lt;'.unescape('html') => '<'
'a'.encode('hex') => '61'
'YQ=='.decode('base64') => 'a'
{}.upper() => {}
""")
def test_strings(expression, expected):
    assert value(expression) == value(expected)


@case("""
1 + 2 => 3
0.1 + 0.2 => 0.3
1 - 0.9 => 0.1
2 * 2.50 => 5.00
1 / 4 => 0.25
1 / 0 => {}
7 div 2 => 3
-7 div 2 => -3
7 mod 2 => 1
2.2 mod 1.8 => 0.4
1 div 0 => {}
2147483647 + 1 => {}
(-5).abs() => 5
1.1.ceiling() => 2
(-1.1).floor() => -2
(-1.9).truncate() => -1
3.14159.round(3) => 3.142
2.5.round() => 3
81.sqrt() => 9
(-1).sqrt() => {}
2.power(3) => 8
(-1).power(0.5) => {}
100.log(10) => 2
0.exp() => 1
1.ln() => 0
12345678901234567890.12345678901234567890 + 0.00000000000000000001 => 12345678901234567890.12345678901234567891
1.5.lowBoundary(2) => 1.45
1.5.highBoundary(2) => 1.55
1.50.precision() => 2
""")
def test_numbers(expression, expected):
    assert value(expression) == value(expected)


@case("""
'1'.toInteger() => 1
'1.0'.toInteger() => {}
true.toInteger() => 1
'1.5'.toDecimal() => 1.5
'yes'.toBoolean() => true
'F'.toBoolean() => false
2.toBoolean() => {}
1.50.toString() => '1.50'
true.toString() => 'true'
4 'mg'.toString() => '4 \\'mg\\''
'2015-02'.toDate() => @2015-02
@2015-02-04T10:00:00Z.toDate() => @2015-02-04
'2015-02-30'.toDate() => {}
'2015-02-04T10:00:00Z'.toDateTime() => @2015-02-04T10:00:00Z
'10:30'.toTime() => @T10:30
'25:30'.convertsToTime() => false
'4 days'.toQuantity() => 4 days
'4 \\'mg\\''.toQuantity() => 4 'mg'
'4 mg'.convertsToQuantity() => false
4 'g'.toQuantity('mg') = 4000 'mg' => true
4 'g'.toQuantity('m') => {}
{}.toInteger() => {}
'a'.convertsToInteger() => false
""")
def test_conversion(expression, expected):
    assert value(expression) == value(expected)


@case("""
1 = 1.0 => true
1 = '1' => false
1 = {} => {}
(1 | 2) = (1 | 2) => true
(1 | 2) = (2 | 1) => false
(1 | 2) ~ (2 | 1) => true
'a B' ~ 'A  b' => true
'a' != 'b' => true
1.10 ~ 1.1 => true
{} ~ {} => true
1 ~ {} => false
1 !~ 2 => true
true = true => true
1 < 2 => true
'a' > 'b' => false
2 >= 2.0 => true
1 < {} => {}
2 in (1 | 2) => true
{} in (1 | 2) => {}
(1 | 2) contains 3 => false
1 is Integer => true
1 is System.String => false
1 is FHIR.integer => false
true and {} => {}
false and {} => false
true or {} => true
{} xor true => {}
true xor true => false
false implies {} => true
{} implies true => true
{} implies false => {}
true implies false => false
{}.not() => {}
(1 = 2).not() => true
""")
def test_operators(expression, expected):
    assert value(expression) == value(expected)


@case("""
4 'g' = 4000 'mg' => true
4 'g' = 4 'm' => {}
4 'g' ~ 4040 'mg' => true
4 'g' > 3999 'mg' => true
1 'mg/dL' = 10 'mg/L' => true
1 'Cel' < 1 'm' => {}
2 'cm' * 2 'm' = 400 'cm2' => true
7 days = 1 week => true
1 year = 12 months => true
1 year = 1 'a' => {}
1 year ~ 1 'a' => true
1 'wk' = 7 days => true
2 'g' + 500 'mg' = 2.5 'g' => true
-(2 'g') = -2 'g' => true
(-2 'g').abs() = 2 'g' => true
1 'cm'.comparable(1 '[in_i]') => true
1 'cm'.comparable(1 's') => false
1 '[in_i]' = 2.54 'cm' => true
""")
def test_quantities(expression, expected):
    assert value(expression) == value(expected)


def test_variables():
    assert value("%a.where($this > 1)", a=[1, 2, 3]) == [2, 3]
    assert value("%a.given", a={"resourceType": "Patient", "name": []}) == []
    assert value("%`vs-x` | %sct | %`ext-y`") == [
        "http://hl7.org/fhir/ValueSet/x",
        "http://snomed.info/sct",
        "http://hl7.org/fhir/StructureDefinition/y",
    ]
    with pytest.raises(FhirPathEvaluationError, match="%unknown"):
        value("%unknown")


def test_the_time_is_the_same_all_through_an_evaluation():
    now = datetime(2024, 5, 6, 7, 8, 9, 123000, UTC)
    run = compile_expression("now() | today() | timeOfDay()", "Patient")
    assert run(PATIENT, Environment(PATIENT, now=now)) == [
        "2024-05-06T07:08:09.123+00:00",
        "2024-05-06",
        "07:08:09.123",
    ]
    assert value("now() = now()") == [True]


def test_trace_shows_and_passes_on():
    seen = []
    environment = Environment(PATIENT, trace=lambda name, values: seen.append((name, values)))
    run = compile_expression("(1 | 2).trace('a').trace('b', $this * 10).count()", "Patient")
    assert run(PATIENT, environment) == [2]
    assert seen == [("a", [1, 2]), ("b", [10, 20])]


@pytest.mark.parametrize(
    "expression",
    [
        "(1 | 2).single()",
        "(1 | 2) + 1",
        "(1 | 2).not()",
        "('a' | 'b').upper()",
        "('a' | 'b').iif(true, 1)",
        "'a'.matches('(')",
        "(1 | 'a').allTrue()",
        "(1 | 2) < 3",
        "@2015 + 1 'cm'",
        "1.round(-1)",
        "'a'.combine('b').skip('c')",
        "(1).repeat($this + 1)",
        "'ab'.repeat($this & $this)",
    ],
)
def test_evaluation_errors(expression):
    with pytest.raises(FhirPathEvaluationError):
        value(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "nothing",
        "name.nothing",
        "name.foo()",
        "name.first(1)",
        "name.where()",
        "active is Unknown",
        "name.ofType(1)",
        "name.startsWith('a')",
        "name < 1",
        "-'a'",
        "@2015 + 1",
        "iif('a', 1, 2)",
        "birthDate.nothing",
        "1.nothing",
    ],
)
def test_what_cannot_mean_anything_is_refused_when_compiled(expression):
    with pytest.raises(FhirPathTypeError):
        compile_expression(expression, "Patient")


def test_decimals_are_exact():
    assert str(value("1.10 + 2.20")[0]) == "3.30"
    assert value("0.1 + 0.2")[0] == Decimal("0.3")


def test_growing_logic_is_refused_in_time():
    expression = "true"
    for _ in range(30):
        expression = f"(({expression}) = true and true)"
    with pytest.raises(FhirPathLimitError, match="complex"):
        compile_expression(expression, "Patient")


def test_functions_of_the_same_making_are_told_apart_in_one_expression():
    """What has no type when it is compiled is looked at by functions that one decorator has made."""
    patient = {"resourceType": "Patient", "id": "p1", "gender": "male"}
    compiled = compile_expression("id.startsWith('p') | gender.upper() | id.endsWith('p')", "")
    assert list(compiled(patient, Environment(patient))) == [True, "MALE", False]
