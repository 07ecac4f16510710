"""Expressions drawn at random: they evaluate or raise a FhirPathError, and the forms of compilation agree."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir.fhirpath import (
    Environment,
    FhirPathError,
    FhirPathEvaluationError,
    compile_boolean,
    compile_expression,
    compile_many,
    compile_typed,
    locate,
)
from fhir.fhirpath.values import truth
from fhir.tests.test_fhirpath_types import OBSERVATION, PATIENT


def words(text):
    return text.split()


PATHS = words(
    "name name.given name.given.id birthDate birthDate.extension gender deceased contained identifier period "
    "contained.name managingOrganization.reference name.use $this %resource %context active $index %rootResource.id"
)
OTHER = words("value value.unit component component.value component.value.code status code.coding category")
LITERALS = words("1 2.50 'a' 'Ana' true false {} @2015 @1974-12-25 @T10:30 @2015-02-04T10:00:00Z 4|'mg' 4|days")
SIMPLE = words(
    "exists empty not count first last tail distinct isDistinct single allTrue anyFalse upper length toChars trim "
    "children descendants toString toInteger toDecimal toDate toDateTime toTime toQuantity toBoolean convertsToInteger "
    "abs round sqrt hasValue getValue type resolve lowBoundary highBoundary precision now today sort join"
)
WITH_ARGUMENT = words(
    "where select all exists repeat skip take intersect exclude union combine subsetOf startsWith contains indexOf "
    "matches substring split power log extension aggregate trace conformsTo comparable sort join"
)
TYPES = words("string Quantity HumanName Patient Organization System.String FHIR.date Resource Extension boolean")
OPERATORS = words("+ - * / div mod & | = != ~ !~ < > <= >= and or xor implies in contains")


def grown(inner):
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(OPERATORS), inner),
        st.builds("{}.{}()".format, inner, st.sampled_from(SIMPLE)),
        st.builds("{}.{}({})".format, inner, st.sampled_from(WITH_ARGUMENT), inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(["is", "as"]), st.sampled_from(TYPES)),
        st.builds("{}.{}({})".format, inner, st.sampled_from(["is", "as", "ofType"]), st.sampled_from(TYPES)),
        st.builds("iif({}, {}, {})".format, inner, inner, inner),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("(-{})".format, inner),
    )


def expressions(paths):
    leaves = st.sampled_from([*paths, *(text.replace("|", " ") for text in LITERALS)])
    return st.recursive(leaves, grown, max_leaves=6)


def outcome(run, *arguments):
    """The result, or the kind of FhirPathError."""
    try:
        return run(*arguments)
    except FhirPathError as error:
        return type(error)


def check(expression, resource):
    environment = Environment(resource)
    kind = resource["resourceType"]
    try:
        typed = compile_typed(expression, kind, lenient=True)
    except FhirPathError:
        return
    items = outcome(typed, resource, environment)
    if isinstance(items, list):
        assert all(isinstance(name, str) and name and value is not None for name, value, _ in items)
    holds = outcome(lambda: compile_boolean(expression, kind)(resource, environment))
    if isinstance(items, list) and isinstance(holds, bool):
        assert holds == (outcome(truth, items) is True)
        run = compile_boolean(expression, kind, empty=True)
        assert outcome(run, resource, environment) == (outcome(truth, items) is not False)
    found = outcome(lambda: compile_many({"x": expression}, kind)(resource, environment))
    if isinstance(found, dict) and isinstance(items, list):
        assert bool(found) == bool(items)


fast = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@fast
@given(expressions(PATHS))
def test_patient(expression):
    check(expression, PATIENT)


@fast
@given(expressions(OTHER))
def test_observation(expression):
    check(expression, OBSERVATION)


@fast
@given(expressions(PATHS))
def test_unknown_context(expression):
    outcome(lambda: compile_expression(expression, "")(PATIENT, Environment(PATIENT)))


@fast
@given(expressions(PATHS))
def test_locate(expression):
    found = outcome(locate, expression, PATIENT)
    if isinstance(found, list):
        for place in found:
            if place.value is not None:
                node = PATIENT
                for step in place.steps:
                    node = node[step]
                assert node == place.value


def test_an_argument_that_can_have_no_value_is_empty():
    expression = "(contained.name.upper())[name.startsWith(name)]"
    # Not Python's TypeError: `name` is two items here, and startsWith() takes one.
    assert outcome(lambda: compile_expression(expression, "")(PATIENT, Environment(PATIENT))) is FhirPathEvaluationError
