"""Random queries about given resources: every type of parameter, modifier and prefix, most of them with an answer."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from random import Random
from typing import Any

from . import codes, dates, pools, references, special, texts, tokens
from .filter_queries import FilterAsker
from .judge import PREFIXES, Resource
from .parameters import COMPARTMENT, PARAMETERS, SYSTEMS, Parameter
from .values import Value, escaped, walk

Pair = tuple[str, str]
Link = tuple[Resource, Parameter, Resource]
# Elements that may refer to anything: a chain has to name the type (docs/search.md: a bound on the types of a link).
ANY = ("focus", "evidence-detail", "supporting-info", "service", "performer", "activity-reference", "member", "item")
CODED = ("CodeableConcept", "Coding", "Identifier")
# Parameters that name the patient whose chart is searched.
CHARTS = ("patient", "subject")
# Parameters with one reference, to what may lie in the same chart.
IN_CHARTS = ("encounter", "context", "part-of", "condition", "appointment", "specimen")


@dataclass(frozen=True)
class Query:
    """A search of one type or of several, of a patient's compartment where `patient` is an id; `sort` "" for none."""

    types: tuple[str, ...]
    pairs: tuple[Pair, ...]
    sort: str = ""
    patient: str | None = None
    post: bool = False
    includes: tuple[Pair, ...] = ()


def _alike(one: Parameter, other: Parameter) -> bool:
    """Whether what can be asked of one parameter can be asked of the other: |code, say, is for those with systems."""
    return one.type == other.type and {kind for _, kind in one.sources} == {kind for _, kind in other.sources}


class Asker:
    """Makes queries about the resources of a run."""

    def __init__(self, random: Random, resources: Sequence[Resource], base_url: str) -> None:
        self.random, self.resources, self.base_url = random, resources, base_url
        self.of_type: dict[str, list[Resource]] = {}
        for resource in resources:
            self.of_type.setdefault(resource["resourceType"], []).append(resource)
        self.links = self._links()
        self.filters = FilterAsker(self)

    def query(self) -> Query:
        """One to three parameters, sometimes with a chain or `_has` among them, sometimes with an order."""
        r = self.random
        dice = r.random()
        if dice < 0.05:
            return self.of_several_types()
        if dice > 0.9:
            return self.in_a_chart()
        resource_type, first = self.has() if dice < 0.15 else self.chain() if dice < 0.3 else self.of_a_type()
        if r.random() < 0.16:
            first = self.special_rule(resource_type)
        more = [self.parameter(resource_type) for _ in range(r.choice((0, 0, 0, 1, 1, 2)))]
        pairs = tuple(r.sample([first, *more], len(more) + 1))
        sort = self.sort(resource_type) if r.random() < 0.2 else ""
        patient = r.choice(self.of_type["Patient"])["id"] if r.random() < 0.1 else None
        if resource_type == "Patient" or resource_type not in COMPARTMENT:
            patient = None
        includes = self.includes(resource_type) if r.random() < 0.15 else ()
        return Query((resource_type,), pairs, sort, patient, r.random() < 0.1, includes)

    def of_several_types(self) -> Query:
        """A search of the system by parameters that all its types have, with one meaning or with several."""
        types = self.random.sample(sorted(self.of_type), self.random.randint(2, 4))
        shared = [p for p in PARAMETERS[types[0]].values() if all(p.code in PARAMETERS[t] for t in types)]
        shared = [p for p in shared if all(_alike(p, PARAMETERS[t][p.code]) for t in types)]
        parameter = self.random.choice(shared)
        return Query(tuple(types), (self.asked(parameter, None),), post=self.random.random() < 0.1)

    def in_a_chart(self) -> Query:
        """One or two links to what may lie in the same chart, some in a filter, about the resources of one patient."""
        r = self.random
        charts = {id(link[0]): link for link in self.links if link[1].code in CHARTS and "Patient" in link[2].values()}
        inner = [link for link in self.links if link[1].code in IN_CHARTS and id(link[0]) in charts]
        near = [link for link in inner if charts.get(id(link[2]), link)[2] is charts[id(link[0])][2]]
        chosen = r.choice(near if near and r.random() < 0.7 else inner)
        source, parameter, patient = charts[id(chosen[0])]
        resource_type = source["resourceType"]
        pairs = [(parameter.code, f"Patient/{patient['id']}")]
        for _number in range(r.choice((1, 1, 1, 2))):
            pairs.append(self.filtered(chosen) if r.random() < 0.3 else self.chain(source, [chosen])[1])
        pairs += [self.parameter(resource_type) for _ in range(r.choice((0, 0, 1)))]
        sort = self.sort(resource_type) if r.random() < 0.3 else ""
        includes = self.includes(resource_type) if r.random() < 0.15 else ()
        return Query((resource_type,), tuple(r.sample(pairs, len(pairs))), sort, None, r.random() < 0.1, includes)

    def filtered(self, link: Link) -> Pair:
        """A link in a filter, or its opposite."""
        source, parameter, target = link
        kind = target["resourceType"]
        linked = f"{parameter.code}:{kind}.{self.filters.test(kind, target)}"
        other = self.filters.test(source["resourceType"], source)
        return "_filter", self.random.choice((linked, f"not ({linked})", f"not ({linked} or {other})"))

    def of_a_type(self) -> tuple[str, Pair]:
        resource_type = self.random.choice(sorted(self.of_type))
        return resource_type, self.parameter(resource_type)

    def sort(self, resource_type: str) -> str:
        known = [p.code for p in PARAMETERS[resource_type].values() if p.type not in ("composite", "special")]
        # docs/reindex.md: by which of its own parameters a client can sort.
        own = ("token", "reference", "uri")
        known = [c for c in known if not (c.startswith("x-") and PARAMETERS[resource_type][c].type in own)]
        chosen = self.random.sample(known, self.random.choice((1, 1, 2)))
        return ",".join(self.random.choice(("", "-")) + code for code in chosen)

    # --- links

    def _links(self) -> list[Link]:
        """Every reference of the run to a resource of the run, by every parameter that it is a value of."""
        by_id = {(resource["resourceType"], resource["id"]): resource for resource in self.resources}
        found = []
        for source in self.resources:
            for parameter in PARAMETERS[source["resourceType"]].values():
                for value in parameter.values(source) if parameter.type == "reference" else ():
                    text = value.value.get("reference") if value.type == "Reference" else None
                    at = references.local(text, self.base_url) if text else None
                    if at and at[:2] in by_id:
                        found.append((source, parameter, by_id[at[:2]]))
        return found

    def chain(self, source: Resource | None = None, links: Sequence[Link] = ()) -> tuple[str, Pair]:
        """`link.parameter`, the parameter about the resource that is referred to; by one of these links, if any."""
        known = links or [link for link in self.links if source is None or link[0] is source]
        if not known:
            return source["resourceType"], self.parameter(source["resourceType"], source)  # type: ignore[index]
        source, parameter, target = self.random.choice(known)
        name, value = self.about(target)
        typed = name == "_filter" or self.has_to_be_typed(parameter) or self.random.random() < 0.5
        link = f"{parameter.code}:{target['resourceType']}" if typed else parameter.code
        return source["resourceType"], (f"{link}.{name}", value)

    def has_to_be_typed(self, parameter: Parameter) -> bool:
        """Whether a chain by a parameter has to name the type."""
        return parameter.code in ANY

    def has(self, target: Resource | None = None) -> tuple[str, Pair]:
        """`_has:Type:link:parameter`, the parameter about a resource that refers to this one."""
        known = [link for link in self.links if target is None or link[2] is target]
        if not known:
            return target["resourceType"], self.parameter(target["resourceType"], target)  # type: ignore[index]
        source, parameter, target = self.random.choice(known)
        name, value = self.about(source)
        return target["resourceType"], (f"_has:{source['resourceType']}:{parameter.code}:{name}", value)

    def about(self, resource: Resource) -> Pair:
        """A parameter about a resource; one time in six it is a further link."""
        dice = self.random.random()
        if dice < 0.16:
            return (self.chain if dice < 0.1 else self.has)(resource)[1]
        if dice < 0.2:
            return self.special_rule(resource["resourceType"], resource)
        return self.parameter(resource["resourceType"], resource)

    def includes(self, resource_type: str) -> tuple[Pair, ...]:
        """One to three includes: from the matches, to them, or further from what others have added."""
        found: list[Pair] = []
        reached = {resource_type}
        for number in range(self.random.choice((1, 1, 2, 3))):
            forward = [link for link in self.links if link[0]["resourceType"] in reached]
            backward = [link for link in self.links if link[2]["resourceType"] in reached]
            reverse = self.random.random() < 0.4 or not forward
            if not (backward if reverse else forward):
                break
            source, parameter, target = self.random.choice(backward if reverse else forward)
            kind, to = source["resourceType"], target["resourceType"]
            value = f"{kind}:{parameter.code}" + (f":{to}" if self.random.random() < 0.3 else "")
            value = self.random.choice((value, value, value, value, "*", f"{kind}:*"))
            name = "_revinclude" if reverse else "_include"
            found.append((name + self.random.choice(("", ":iterate") if number == 0 else (":iterate",)), value))
            reached.add(kind if reverse else to)
        return tuple(found)

    # --- parameters with rules of their own

    def special_rule(self, resource_type: str, about: Resource | None = None) -> Pair:
        r = self.random
        name = r.choice(("_filter", "_filter", "_filter", "_list", "_text", "_content"))
        if name == "_filter":
            return name, self.filters.filter(resource_type, about)
        if name == "_list":
            lists = [listing["id"] for listing in self.of_type["List"]]
            known = (*special.CURRENT, *r.sample(lists, 2), f"List/{r.choice(lists)}", "nothing")
            return name, ",".join(r.sample(known, r.choice((1, 1, 2))))
        about = about or r.choice(self.of_type[resource_type])
        texts = [special.narrative(about)] if name == "_text" else list(special.written(about))
        return name, ",".join(self.some_words(texts) for _ in range(r.choice((1, 1, 2))))

    def some_words(self, texts: list[str]) -> str:
        """Some words of texts, or parts of them; or what is markup or the name of an element there."""
        words = " ".join(texts).split() or list(pools.WORDS)
        chosen = [self.random.choice(words) for _ in range(self.random.choice((1, 1, 2)))]
        chosen += [self.random.choice(("class", "div", "status", "code", "_"))] if self.random.random() < 0.2 else []
        return " ".join(escaped(self.random.choice((word, word.upper(), word[:4]))) for word in chosen)

    def special(self, parameter: Parameter, about: Resource) -> Pair:
        """Places within a distance that none of them is close to: maps of the Earth differ by some per mille."""
        r = self.random
        places = [special.place(v) for held in self.of_type["Location"] for v in parameter.values(held)]
        while True:
            centre = r.choice([*places, *((float(a), float(b)) for a, b in pools.PLACES)])
            unit = r.choice(sorted(special.KILOMETRES))
            kilometres = r.choice((0.5, 3.0, 20.0, 50.0, 300.0, 9000.0, 20100.0))
            if all(abs(special.distance(centre, place) / kilometres - 1) > 0.02 for place in places):
                break
        text = f"{centre[0]}|{centre[1]}"
        if kilometres != special.NEAR:
            text += f"|{kilometres / special.KILOMETRES[unit]:.6f}" + (f"|{unit}" if unit else "")
        return parameter.code, text

    # --- one parameter

    def parameter(self, resource_type: str, about: Resource | None = None) -> Pair:
        known = list(PARAMETERS[resource_type].values())
        kind = self.random.choice(sorted({p.type for p in known}))
        parameter = self.random.choice([p for p in known if p.type == kind])
        if parameter.code == "_tag" and self.random.random() < 0.5:
            return self.parameter(resource_type, about)
        return self.asked(parameter, about)

    def asked(self, parameter: Parameter, about: Resource | None) -> Pair:
        """A question by this parameter."""
        if self.random.random() < 0.08 and parameter.type != "composite":
            return f"{parameter.code}:missing", self.random.choice(("true", "false"))
        make: Callable[[Parameter, Resource], Pair] = getattr(self, parameter.type)
        made = [make(parameter, about or self.random.choice(self.of_type[parameter.resource_type])) for _ in range(3)]
        modifier = made[0][0]
        alternatives = [value for name, value in made if name == modifier]
        wanted = 1 if self.random.random() < 0.75 else len(alternatives)
        return modifier, ",".join(alternatives[:wanted])

    def value(self, parameter: Parameter, about: Resource) -> Value | None:
        """A value of the resource, or of another one."""
        for _try in range(8):
            if values := parameter.values(about):
                return self.random.choice(values)
            about = self.random.choice(self.of_type[parameter.resource_type])
        return None

    def number_text(self, held: Any = None) -> str:
        if held is None or self.random.random() < 0.3:
            return self.random.choice(pools.NUMBERS)
        number = Decimal(held)
        exponent = int(number.as_tuple().exponent)
        if self.random.random() < 0.5:
            places = Decimal(1).scaleb(exponent + self.random.choice((-1, 1)))
            number = number.quantize(places, self.random.choice((ROUND_FLOOR, ROUND_CEILING)))
        return str(number)

    def prefix(self) -> str:
        return self.random.choice(("", *PREFIXES))

    # --- by type of parameter; each gives (name with modifier, one alternative)

    def token(self, parameter: Parameter, about: Resource) -> Pair:
        value = self.value(parameter, about)
        kind = value.type if value else parameter.sources[0][1]
        modifier = self.random.choice(("", "", "", ":not"))
        if kind in CODED and self.random.random() < 0.15:
            return f"{parameter.code}:text", escaped(self.words(self.display(value)))
        if kind in ("CodeableConcept", "Coding") and self.random.random() < 0.2:
            return self.terminology(parameter, value)
        if kind == "Identifier" and self.random.random() < 0.2:
            return f"{parameter.code}:of-type", self.of_type_value(parameter, about)
        return parameter.code + modifier, self.token_value(parameter, kind, value)

    def terminology(self, parameter: Parameter, value: Value | None) -> Pair:
        """By a value set, or by what is above or below a code in the hierarchy of codes.ONE."""
        modifier = self.random.choice(("in", "not-in", "below", "above"))
        if modifier.endswith("in"):
            known = [r for r in self.of_type["ValueSet"] if "-set-" in r["id"]]
            chosen = self.random.choice(known)
            return f"{parameter.code}:{modifier}", self.random.choice((chosen["url"], f"ValueSet/{chosen['id']}"))
        stored = [code for system, code in (tokens.pairs(value) if value else ()) if system == codes.ONE and code]
        related = codes.ancestors(self.random.choice(stored or codes.CODES))
        return f"{parameter.code}:{modifier}", f"{codes.ONE}|{escaped(self.random.choice(related))}"

    def display(self, value: Value | None) -> str:
        held = value.value if value else {}
        found = [text for path in ("text", "display", "coding.display", "type.text") for text in walk(held, path)]
        return self.random.choice(found or list(pools.DISPLAYS + pools.TEXTS))

    def token_value(self, parameter: Parameter, kind: str, value: Value | None) -> str:
        found = tokens.pairs(value) if value else []
        system, code = self.random.choice(found) if found else (None, None)
        if kind in CODED:
            return self.coded_value(system, code)
        if kind == "code":
            implied = SYSTEMS.get((parameter.resource_type, parameter.code))
            if implied and self.random.random() < 0.5:
                return self.random.choice(
                    (f"{implied}|{code or 'x'}", f"{implied}|", f"http://no.example|{code or 'x'}")
                )
            return code or "final"
        if kind == "boolean":
            return self.random.choice(("true", "false"))
        if kind == "string" and code and self.random.random() < 0.5:
            code = self.random.choice((code.upper(), code.lower()))
        return escaped(code or "x")

    def coded_value(self, system: str | None, code: str | None) -> str:
        r = self.random
        if code is None or r.random() < 0.1:
            code = r.choice(pools.CODES)
        if system is None or r.random() < 0.1:
            system = r.choice(pools.SYSTEMS[:3])
        code, system = escaped(code), escaped(system)
        return r.choice((code, f"{system}|{code}", f"{system}|{code}", f"|{code}", f"{system}|"))

    def of_type_value(self, parameter: Parameter, about: Resource) -> str:
        """The type and value of an Identifier that has both, if there is one."""
        resources = [about, *self.of_type[parameter.resource_type]]
        values = [
            v.value for r in resources for v in parameter.values(r) if v.type == "Identifier" and "value" in v.value
        ]
        typed = [(c, held["value"]) for held in values for c in walk(held, "type.coding") if "system" in c]
        coding, number = self.random.choice(typed or [({"system": "http://no.example", "code": "a"}, "a")])
        if self.random.random() < 0.2:
            number = self.random.choice(pools.CODES)
        return "|".join(escaped(part) for part in (coding["system"], coding["code"], number))

    def words(self, text: str) -> str:
        """A text as people type it: a part of it, in another case, without accents."""
        r = self.random
        if r.random() < 0.5:
            start = 0 if r.random() < 0.7 else r.randrange(len(text))
            text = text[start : start + r.randint(1, 6)] or text
        if r.random() < 0.3:
            text = r.choice((text.upper(), text.lower(), text.title()))
        if r.random() < 0.2:
            text = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
        return text.strip() or "x"

    def string(self, parameter: Parameter, about: Resource) -> Pair:
        value = self.value(parameter, about)
        text = self.random.choice(texts.strings(value) if value else pools.TEXTS)
        modifier = self.random.choice(("", "", ":contains", ":exact", ":text"))
        if modifier == ":exact" and self.random.random() < 0.7:
            return parameter.code + modifier, escaped(text)
        return parameter.code + modifier, escaped(self.words(text))

    def date(self, parameter: Parameter, about: Resource) -> Pair:
        value = self.value(parameter, about)
        return parameter.code, self.prefix() + self.date_value(value)

    def date_value(self, value: Value | None) -> str:
        held = value.value if value else None
        if isinstance(held, dict):
            times = [t for path in ("start", "end", "event", "repeat.boundsPeriod.start") for t in walk(held, path)]
            held = self.random.choice(times) if times else None
        if held is None or self.random.random() < 0.4:
            return self.random.choice(self.random.choice((pools.DATES, pools.MOMENTS)))
        text = held[: self.random.choice((4, 7, 10, 99, 99))]
        clock = text.partition("T")[2]
        if clock and self.random.random() < 0.2:
            zone = clock[8:].lstrip(".0123456789")
            text = text[:16] + zone
        return text if dates.interval(text) else "2024"

    def number(self, parameter: Parameter, about: Resource) -> Pair:
        value = self.value(parameter, about)
        held = value.value if value and value.type == "decimal" else None
        return parameter.code, self.prefix() + self.number_text(held)

    def quantity(self, parameter: Parameter, about: Resource) -> Pair:
        return parameter.code, self.quantity_value(self.value(parameter, about))

    def quantity_value(self, value: Value | None) -> str:
        held = value.value if value else {}
        if value and value.type == "Range":
            held = held.get(self.random.choice(("low", "high"))) or held.get("low") or held["high"]
        number = self.prefix() + self.number_text(held.get("value"))
        unit = self.random.choice(pools.UNITS) if self.random.random() < 0.15 else held
        system = unit.get("system") or "http://unitsofmeasure.org"
        code = unit.get("code") or unit.get("currency") or unit.get("unit") or "mg"
        if "currency" in unit:
            system = "urn:iso:std:iso:4217"
        human = unit.get("unit") or code
        return self.random.choice(
            (
                number,
                number,
                f"{number}|{system}|{code}",
                f"{number}||{code}",
                f"{number}||{human}",
                f"{number}|{system}|",
            )
        )

    def reference(self, parameter: Parameter, about: Resource) -> Pair:
        r = self.random
        value = self.value(parameter, about)
        if value is None:
            return parameter.code, r.choice(("nothing", "Patient/nothing", "http://other.example/fhir/Patient/x"))
        if value.type != "Reference":
            return parameter.code, escaped(r.choice((value.value, value.value.partition("|")[0], value.value + "|9")))
        identifier = value.value.get("identifier")
        if identifier and r.random() < 0.6:
            return f"{parameter.code}:identifier", self.coded_value(identifier.get("system"), identifier.get("value"))
        text = value.value.get("reference")
        at = references.local(text, self.base_url) if text else None
        if at is None:
            return parameter.code, escaped(text or "nothing")
        kind, identity, version = at
        if r.random() < 0.25:
            return f"{parameter.code}:{kind}", r.choice((identity, f"{kind}/{identity}"))
        forms = (
            identity,
            f"{kind}/{identity}",
            f"{self.base_url}/{kind}/{identity}",
            f"http://other.example/fhir/{kind}/{identity}",
        )
        versioned = (f"{kind}/{identity}/_history/{version or 1}", f"{self.base_url}/{kind}/{identity}/_history/1")
        return parameter.code, r.choice(forms + versioned)

    def uri(self, parameter: Parameter, about: Resource) -> Pair:
        r = self.random
        value = self.value(parameter, about)
        text = value.value if value and r.random() < 0.6 else r.choice(pools.ADDRESSES + pools.SYSTEMS[:2])
        if value and value.type == "canonical":
            return parameter.code, escaped(r.choice((text, text.partition("|")[0], f"{text}|9")))
        modifier = r.choice(("", "", ":below", ":above")) if text.startswith("http") else ""
        if modifier == ":below" and r.random() < 0.5:
            text = text.rpartition("/")[0]
            text = text if text.count("/") > 1 else "http://acme.example"
        if modifier == ":above" and r.random() < 0.5:
            text += r.choice(("/x", "x", "/ValueSet/123/_history/5"))
        return parameter.code + modifier, escaped(text)

    def composite(self, parameter: Parameter, about: Resource) -> Pair:
        for _try in range(8):
            full = [node for node in parameter.pairs(about) if all(node)]
            if full:
                break
            about = self.random.choice(self.of_type[parameter.resource_type])
        node = self.random.choice(full) if full else [[] for _ in parameter.parts]
        parts = []
        for part, values in zip(parameter.parts, node, strict=True):
            value = self.random.choice(values) if values else None
            parts.append(self.part(part.type, part.sources[0][1], value))
        return parameter.code, "$".join(parts)

    def part(self, kind: str, fhir_type: str, value: Value | None) -> str:
        if kind == "token" and (value.type if value else fhir_type) == "boolean":
            return self.random.choice(("true", "false"))
        if kind == "token":
            found = tokens.pairs(value) if value else []
            system, code = self.random.choice(found) if found else (None, None)
            if code is not None and self.random.random() < 0.8:
                return self.random.choice((escaped(code), f"{escaped(system or '')}|{escaped(code)}"))
            text = self.coded_value(system, code)
            return text if not text.endswith("|") else "a"
        if kind == "string":
            return escaped(self.words(value.value if value else "x"))
        if kind == "date":
            return self.prefix() + self.date_value(value)
        return self.quantity_value(value)
