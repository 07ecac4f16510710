"""Expansion of value sets and hierarchies of codes (https://hl7.org/fhir/R4/valueset.html, codesystem.html)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from fhir.definitions.structure import RESOURCE_TYPES, type_definition
from fhir.definitions.terminology import official, urls
from fhir.definitions.value_sets import concepts
from fhir.exceptions import InvalidRequest
from fhir.terminology import expansion, library, patterns
from fhir.terminology.code_systems import CodeSystem
from fhir.terminology.expansion import Expander
from fhir.terminology.filters import selected
from fhir.terminology.library import Key, Library, Name
from fhir.terminology.members import Members, Unlistable, union

BASE = "http://localhost/fhir/R4"
SYSTEM = "http://example.org/animals"
CONCEPTS = [
    {
        "code": "animal",
        "concept": [
            {
                "code": "mammal",
                "display": "Mammal",
                "concept": [
                    {"code": "dog", "display": "Dog", "property": [{"code": "legs", "valueInteger": 4}]},
                    {
                        "code": "whale",
                        "property": [{"code": "legs", "valueInteger": 0}, {"code": "sea", "valueCode": "all"}],
                    },
                ],
            },
            {"code": "fish", "property": [{"code": "sea", "valueCode": "most"}]},
            {"code": "dodo", "property": [{"code": "status", "valueCode": "retired"}]},
        ],
    },
    {"code": "pet", "property": [{"code": "child", "valueCode": "dog"}]},
]
ANIMALS = {"resourceType": "CodeSystem", "url": SYSTEM, "version": "2", "content": "complete", "concept": CONCEPTS}
ALL = {"animal", "mammal", "dog", "whale", "fish", "dodo", "pet"}


class Shelf(Library):
    """A library of these resources instead of the stored ones; counts how often something is fetched."""

    def __init__(self, *resources: dict[str, Any]) -> None:
        super().__init__()
        written = datetime(2024, 1, 1, tzinfo=UTC)
        self.sources = [
            library._source(resource, Key(resource["resourceType"], str(number), 1, written))
            for number, resource in enumerate(resources)
        ]
        self.fetches = 0

    def _fetch(self, names: Sequence[Name]) -> None:
        self.fetches += 1
        for name in names:
            self._found[name] = tuple(sorted((s for s in self.sources if s.answers(name)), key=library._preference))


def value_set(url: str, *include: Any, **elements: Any) -> dict[str, Any]:
    rules = {"include": list(include), **{k: elements.pop(k) for k in ("exclude", "inactive") if k in elements}}
    return {"resourceType": "ValueSet", "url": url, **({"compose": rules} if include else {}), **elements}


def of(system: str = SYSTEM, *codes: str, **more: Any) -> dict[str, Any]:
    listed = {"concept": [{"code": code} for code in codes]} if codes else {}
    return {"system": system, **listed, **more}


def where(*rows: tuple[str, str, str]) -> dict[str, Any]:
    return of(filter=[{"property": p, "op": o, "value": v} for p, o, v in rows])


def members(*resources: dict[str, Any], of_set: str = "urn:x") -> Members:
    return Expander(Shelf(*resources), BASE).members(of_set)


def codes(*include: Any, **elements: Any) -> set[str]:
    """The codes of the example system in a value set with these rules."""
    found = members(ANIMALS, value_set("urn:x", *include, **elements))
    assert found.codes.keys() <= {SYSTEM} and not found.whole
    return set(found.codes.get(SYSTEM, ()))


def refused(act: Callable[[], Any]) -> str:
    with pytest.raises(InvalidRequest) as caught:
        act()
    assert caught.value.status == 400
    return caught.value.issues[0].code


# --- code systems


def test_hierarchy_by_tree_and_by_property() -> None:
    system = CodeSystem(ANIMALS)
    assert system.below("mammal") == {"mammal", "dog", "whale"}
    assert system.below("pet") == {"pet", "dog"}
    assert system.above("dog") == {"dog", "mammal", "animal", "pet"}
    assert set(system.codes) == ALL
    with pytest.raises(KeyError):
        system.below("unicorn")


@pytest.mark.parametrize(
    ("declared", "name", "children"),
    [
        ([], "parent", {"a", "b"}),
        ([{"code": "parent", "uri": "http://example.org/other"}], "parent", {"a"}),
        ([{"code": "up", "uri": "http://hl7.org/fhir/concept-properties#parent"}], "up", {"a", "b"}),
        ([], "up", {"a"}),
    ],
)
def test_a_parent_property_is_known_by_its_uri(declared: list[Any], name: str, children: set[str]) -> None:
    b = {"code": "b", "property": [{"code": name, "valueCode": "a"}]}
    assert CodeSystem({"property": declared, "concept": [{"code": "a"}, b]}).below("a") == children


def test_a_hierarchy_that_goes_in_circles_ends() -> None:
    rows = [{"code": a, "property": [{"code": "parent", "valueCode": b}]} for a, b in ("ab", "bc", "ca")]
    assert CodeSystem({"concept": rows}).below("a") == {"a", "b", "c"}


def test_only_a_list_of_all_codes_is_complete() -> None:
    assert CodeSystem(ANIMALS).complete
    assert not CodeSystem({**ANIMALS, "content": "fragment"}).complete
    assert not CodeSystem({**ANIMALS, "concept": []}).complete


# --- filters


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("concept", "is-a", "mammal"), {"mammal", "dog", "whale"}),
        (("code", "is-a", "mammal"), {"mammal", "dog", "whale"}),
        (("concept", "descendent-of", "mammal"), {"dog", "whale"}),
        (("concept", "is-not-a", "mammal"), {"animal", "fish", "dodo", "pet"}),
        (("concept", "generalizes", "dog"), {"dog", "mammal", "animal", "pet"}),
        (("concept", "in", "dog, fish,unicorn"), {"dog", "fish"}),
        (("concept", "not-in", "dog,fish"), {"animal", "mammal", "whale", "dodo", "pet"}),
        (("code", "=", "dog"), {"dog"}),
        (("code", "regex", "d.*"), {"dog", "dodo"}),
        (("code", "regex", "d"), set()),
        (("display", "regex", "(Dog|Mam).*"), {"dog", "mammal"}),
        (("legs", "=", "4"), {"dog"}),
        (("legs", "exists", "true"), {"dog", "whale"}),
        (("sea", "exists", "false"), ALL - {"whale", "fish"}),
        (("sea", "in", "all,most"), {"whale", "fish"}),
        (("sea", "not-in", "all"), ALL - {"whale"}),
        (("parent", "=", "animal"), {"mammal", "fish", "dodo"}),
        (("child", "=", "dog"), {"mammal", "pet"}),
        (("parent", "exists", "false"), {"animal", "pet"}),
        (("notSelectable", "=", "false"), ALL),
        (("notSelectable", "exists", "true"), set()),
    ],
)
def test_filters(row: tuple[str, str, str], expected: set[str]) -> None:
    assert codes(where(row)) == expected


def test_all_filters_apply() -> None:
    assert codes(where(("concept", "is-a", "animal"), ("sea", "exists", "true"), ("code", "regex", "w.*"))) == {"whale"}


@pytest.mark.parametrize(
    "row",
    [
        ("concept", "is-a", "unicorn"),
        ("colour", "=", "red"),
        ("concept", "child-of", "animal"),
        ("sea", "exists", "maybe"),
        ("code", "regex", "(a+)+"),
        ("code", "regex", "("),
    ],
)
def test_filters_that_are_not_understood_are_refused(row: tuple[str, str, str]) -> None:
    refused(lambda: codes(where(row)))


def test_of_a_system_without_words_no_words_can_be_asked() -> None:
    row = {"property": "display", "op": "regex", "value": ".*"}
    refused(lambda: selected(CodeSystem({**ANIMALS, "concept": [{"code": "a"}]}), [row]))


@pytest.mark.parametrize("pattern", ["[A-Z]{3}", "abc.*", r"\d+(\.\d+)?", "(cat|dog)[0-9]*", "[^(]+", r"a\(b+"])
def test_patterns_that_run(pattern: str) -> None:
    assert patterns.compiled(pattern) is not None


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(a|a)*",
        "((a?b)c){5}",
        "(a*)*b",
        "a*a*a*a*b",
        "a?" * 9,
        r"(a)\1",
        "(?=a)a",
        "[",
        "a)",
        "x" * 201,
        "(" * 9,
    ],
)
def test_patterns_that_could_run_away_or_are_wrong(pattern: str) -> None:
    assert patterns.compiled(pattern) is None


# --- sets


def test_sets_of_codes() -> None:
    some, more = Members({"s": frozenset("ab"), "t": frozenset("x")}), Members({"s": frozenset("bc")}, frozenset("t"))
    both, either = some & more, union([some, more])
    assert (dict(both.codes), both.whole) == ({"s": {"b"}, "t": {"x"}}, frozenset())
    assert (dict(either.codes), either.whole) == ({"s": {"a", "b", "c"}}, {"t"})
    assert dict((some - more).codes) == {"s": {"a"}}
    assert (more - Members(whole=frozenset("t"))).whole == frozenset()
    assert ("s", "a") in some and ("t", "anything") in more and ("s", "x") not in some
    with pytest.raises(Unlistable):
        more - some
    assert not Members() and len(either) == 3


# --- expansion


def test_includes_together_without_excludes() -> None:
    assert codes(of(SYSTEM, "dog"), where(("concept", "is-a", "fish"))) == {"dog", "fish"}
    assert codes(of(), exclude=[where(("concept", "is-a", "mammal"))]) == ALL - {"mammal", "dog", "whale"}
    assert codes(of(SYSTEM, "dog", "fish"), exclude=[of(SYSTEM, "fish", "unicorn")]) == {"dog"}


def test_inactive_codes_are_left_out_if_it_is_said() -> None:
    assert "dodo" in codes(where(("concept", "is-a", "animal")))
    assert "dodo" not in codes(where(("concept", "is-a", "animal")), inactive=False)
    assert codes(of(SYSTEM, "dodo", "dog"), inactive=False) == {"dog"}


def test_all_conditions_of_an_include_apply() -> None:
    mammals, sea = (
        value_set("urn:m", where(("concept", "is-a", "mammal"))),
        value_set("urn:s", of(SYSTEM, "whale", "fish")),
    )
    both = value_set("urn:x", {"valueSet": ["urn:m", "urn:s"]})
    assert dict(members(ANIMALS, mammals, sea, both).codes) == {SYSTEM: {"whale"}}
    limited = value_set("urn:x", of(valueSet=["urn:m"], filter=[{"property": "legs", "op": "=", "value": "4"}]))
    assert dict(members(ANIMALS, mammals, limited).codes) == {SYSTEM: {"dog"}}
    other = value_set("urn:x", of("http://example.org/other", valueSet=["urn:m"]))
    assert not members(ANIMALS, mammals, other)


def test_imports_by_id_by_version_and_of_official_sets() -> None:
    gender = "http://hl7.org/fhir/ValueSet/administrative-gender"
    first, second = (value_set("urn:v", of(SYSTEM, code), version=v) for code, v in (("dog", "1"), ("fish", "2")))
    importing = value_set("urn:x", {"valueSet": ["urn:v|1"]}, {"valueSet": ["ValueSet/1"]}, {"valueSet": [gender]})
    found = members(first, second, importing)
    assert found.codes[SYSTEM] == {"dog", "fish"}
    assert found.codes["http://hl7.org/fhir/administrative-gender"] == {"male", "female", "other", "unknown"}
    assert dict(members(first, second, of_set="urn:v").codes) == {SYSTEM: {"fish"}}
    assert dict(members(first, second, of_set=f"{BASE}/ValueSet/0").codes) == {SYSTEM: {"dog"}}


def test_cycles_and_depth() -> None:
    ring = [value_set(f"urn:{a}", {"valueSet": [f"urn:{b}"]}) for a, b in ("xy", "yz", "zx")]
    assert refused(lambda: members(*ring)) == "invalid"
    chain = [value_set(f"urn:{n}", {"valueSet": [f"urn:{n + 1}"]}) for n in range(40)]
    assert refused(lambda: members(*chain, of_set="urn:0")) == "too-costly"


def test_refusals_are_not_repeated() -> None:
    """Sets of which each imports two that fail, with an expansion to fall back on: every one is tried once."""
    tried: list[str] = []

    class Counting(Expander):
        def _expanded(self, reference: str) -> Members:
            tried.append(reference)
            return super()._expanded(reference)

    rows = [
        value_set(f"urn:{n}", {"valueSet": [f"urn:{n + 1}"]}, {"valueSet": [f"urn:{n + 1}|9", f"urn:{n + 1}"]})
        for n in range(12)
    ]
    refused(lambda: Counting(Shelf(*rows), BASE).members("urn:0"))
    assert len(tried) == len(set(tried))


def test_a_set_that_is_imported_twice_is_no_cycle() -> None:
    one = value_set("urn:1", of(SYSTEM, "dog"))
    two, three = (value_set(f"urn:{n}", {"valueSet": ["urn:1"]}) for n in (2, 3))
    assert members(one, two, three, value_set("urn:x", {"valueSet": ["urn:2"]}, {"valueSet": ["urn:3"]}))


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "MOST_CODES", 3)
    assert refused(lambda: codes(of())) == "too-costly"
    monkeypatch.setattr(expansion, "MOST_NAMES", 2)
    wide = value_set("urn:x", *({"valueSet": [f"urn:{n}"]} for n in range(5)))
    assert refused(lambda: members(wide)) == "too-costly"


def test_a_system_that_is_not_known() -> None:
    other = "http://example.org/other"
    assert dict(members(value_set("urn:x", of(other, "a"))).codes) == {other: {"a"}}
    assert members(value_set("urn:x", of(other))).whole == {other}
    for include in (of(other, filter=[{"property": "concept", "op": "is-a", "value": "a"}]), of(other, version="3")):
        refused(lambda include=include: members(value_set("urn:x", include)))
    refused(lambda: members(value_set("urn:x", of(other), exclude=[of(other, "a")])))
    assert not members(value_set("urn:x", of(other, "a"), exclude=[of(other)]))


def test_a_version_that_is_not_known() -> None:
    assert codes(of(version="2")) == ALL
    assert codes(of(SYSTEM, "dog", version="3")) == {"dog"}
    refused(lambda: codes(of(version="3")))


def test_a_stored_part_does_not_hide_the_official_whole() -> None:
    url = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
    part = {"resourceType": "CodeSystem", "url": url, "content": "fragment", "concept": [{"code": "SUBSETTED"}]}
    found = Expander(Shelf(part), BASE).members("http://terminology.hl7.org/ValueSet/v3-ObservationValue")
    assert len(found.codes[url]) > 100


# --- stored expansions


def expanded(*listed: str, **more: Any) -> dict[str, Any]:
    return {"expansion": {"contains": [{"system": SYSTEM, "code": code} for code in listed], **more}}


def test_a_stored_expansion_stands_in_for_rules() -> None:
    assert codes(**expanded("dog", "fish")) == {"dog", "fish"}
    snomed = of("http://snomed.info/sct", filter=[{"property": "concept", "op": "is-a", "value": "1"}])
    assert dict(members(value_set("urn:x", snomed, **expanded("dog"))).codes) == {SYSTEM: {"dog"}}
    assert codes(of(SYSTEM, "fish"), **expanded("dog")) == {"fish"}


def test_groups_of_an_expansion_are_no_members() -> None:
    dog = {"system": SYSTEM, "code": "dog"}
    group = {"system": SYSTEM, "code": "mammal", "abstract": True, "contains": [dog, {"contains": [dog]}]}
    assert codes(expansion={"contains": [group]}) == {"dog"}


@pytest.mark.parametrize(
    "more",
    [
        {"total": 2},
        {"offset": 10},
        {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/valueset-toocostly", "valueBoolean": True}]},
    ],
)
def test_a_part_of_an_expansion_is_refused(more: dict[str, Any]) -> None:
    refused(lambda: codes(**expanded("dog", **more)))


def test_nothing_and_unknown() -> None:
    refused(lambda: members(value_set("urn:x")))
    assert refused(members) == "not-found"
    assert refused(lambda: members(value_set("urn:x", of(SYSTEM, "a")), of_set="ValueSet/9")) == "not-found"
    versioned = value_set("urn:x", of(SYSTEM, "a"), version="1")
    assert members(versioned, of_set="ValueSet/0|1")
    assert refused(lambda: members(versioned, of_set="ValueSet/0|2")) == "not-found"


def test_value_sets_that_an_address_defines() -> None:
    snomed = {"resourceType": "CodeSystem", "url": "http://snomed.info/sct", "content": "complete", "concept": CONCEPTS}
    assert members(of_set="http://snomed.info/sct?fhir_vs").whole == {"http://snomed.info/sct"}
    assert members(of_set="http://loinc.org/vs").whole == {"http://loinc.org"}
    found = members(snomed, of_set="http://snomed.info/sct?fhir_vs=isa/mammal")
    assert dict(found.codes) == {"http://snomed.info/sct": {"mammal", "dog", "whale"}}
    refused(lambda: members(of_set="http://snomed.info/sct?fhir_vs=isa/mammal"))
    assert refused(lambda: members(of_set="http://snomed.info/sct?fhir_vs=refset/1")) == "not-found"


def test_what_is_needed_is_fetched_together() -> None:
    parts = [value_set(f"urn:{n}", of(f"http://example.org/{n}")) for n in range(10)]
    shelf = Shelf(*parts, value_set("urn:x", *({"valueSet": [f"urn:{n}"]} for n in range(10))))
    Expander(shelf, BASE).members("urn:x")
    assert shelf.fetches <= 12


# --- the official package


def test_the_official_table_is_whole() -> None:
    assert (len(urls("CodeSystem")), len(urls("ValueSet"))) == (1062, 1316)
    for kind in ("CodeSystem", "ValueSet"):
        for url in urls(kind):
            resource = official(kind, url)
            assert resource is not None and (resource["resourceType"], resource["url"]) == (kind, url)
    assert official("ValueSet", "http://example.org/none") is None


def test_official_value_sets_expand_or_say_why() -> None:
    """Only for want of the codes of systems that the package does not hold."""
    shelf, refusals = Shelf(), []
    for url in urls("ValueSet"):
        try:
            assert Expander(shelf, BASE).members(url)
        except InvalidRequest as error:
            refusals.append((url, error.issues[0].code))
    assert len(refusals) == 58
    assert {code for _url, code in refusals} == {"not-supported", "not-found"}
    unknown = {url.rsplit("/", 1)[-1] for url, code in refusals if code == "not-found"}
    assert unknown == UNKNOWN_IMPORTS


# They import sets that the package does not define.
UNKNOWN_IMPORTS = {"media-modality", "use-context"}


def test_expansions_agree_with_the_bindings_of_the_definitions() -> None:
    """The required bindings come from the package by another way, without hierarchy and filters."""
    bound = {
        element.binding
        for name in RESOURCE_TYPES
        for element in type_definition(name).elements.values()
        if element.binding is not None
    }
    compared = 0
    for url in bound:
        listed = concepts(url)
        if listed is not None:
            found = Expander(Shelf(), BASE).members(url)
            assert dict(found.codes) == listed, url
            compared += 1
    assert compared > 100


def test_an_expansion_agrees_with_the_published_one() -> None:
    """The other expansions of the package are examples, of other rules or versions."""
    url = "http://hl7.org/fhir/ValueSet/yesnodontknow"
    resource = official("ValueSet", url)
    assert resource is not None
    published = members({**resource, "compose": {}, "url": "urn:x"})
    assert len(published) == 3
    assert dict(Expander(Shelf(), BASE).members(url).codes) == dict(published.codes)


def test_official_hierarchies_have_several_parents() -> None:
    resource = official("CodeSystem", "http://terminology.hl7.org/CodeSystem/v3-RoleCode")
    assert resource is not None
    system = CodeSystem(resource)
    several = [code for code, parents in system.parents.items() if len(parents) > 1]
    assert several
    for code in several:
        assert all(code in system.below(parent) for parent in system.parents[code])
