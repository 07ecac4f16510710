"""Random resources that the validator accepts, made of awkward values."""

from __future__ import annotations

from random import Random
from typing import Any

from . import codes, dates, pools
from .shapes import SHAPES

Resource = dict[str, Any]
ABSENT = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}

PRIMITIVES = ("boolean", "date", "dateTime", "string", "code")
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
LOINC = "http://loinc.org"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"


class Maker:
    """Makes resources that refer to each other: `per_type` of each type, with ids that begin with `run`."""

    def __init__(self, random: Random, run: str, base_url: str, per_type: int) -> None:
        self.random, self.run, self.base_url = random, run, base_url
        self.ids = {name: [f"{run}-{name}-{n}" for n in range(per_type)] for name in SHAPES}
        self.near: int | None = None

    def all(self) -> list[Resource]:
        """Every resource, tagged with the run."""
        made = [self.resource(name, identity) for name, ids in self.ids.items() for identity in ids]
        return made + [{**value_set, "meta": self.meta()} for value_set in codes.value_sets(self.run)]

    def resource(self, resource_type: str, identity: str) -> Resource:
        full = self.random.choice((0.25, 0.5, 0.8))
        # Every other one refers to what has the same number: there are charts whose resources refer to each other.
        self.near = self.ids[resource_type].index(identity) if self.random.random() < 0.5 else None
        made: Resource = {"resourceType": resource_type, "id": identity, "meta": self.meta()}
        lines = [line for line in SHAPES[resource_type].strip().splitlines() if line]
        groups: dict[str, list[str]] = {}
        for line in lines:
            node, dot, child = line.split()[0].partition(".")
            groups.setdefault(node if dot else "", []).append(line[len(node) + 1 :] if dot else line)
        self.fill(made, groups.pop("", []), full)
        for node, children in groups.items():
            name = node.rstrip("*!")
            if "!" not in node and self.random.random() > full:
                continue
            found = [self.node(children, full) for _ in range(self.random.randint(1, 2) if "*" in node else 1)]
            found = [item for item in found if item]
            if found:
                made[name] = found if "*" in node else found[0]
        if self.random.random() < 0.3:
            made["text"] = self.narrative()
        self.repair(made)
        return made

    def node(self, lines: list[str], full: float) -> Resource:
        made: Resource = {}
        self.fill(made, lines, full)
        return made

    def fill(self, made: Resource, lines: list[str], full: float) -> None:
        for line in lines:
            head, kinds, *more = line.split()
            name = head.rstrip("*![]")
            if "!" not in head and self.random.random() > full:
                continue
            kind = self.random.choice(kinds.split("|"))
            if "[]" in head:
                name += kind[0].upper() + kind[1:]
            argument = more[0] if more else ""
            if "*" in head:
                made[name] = [self.value(kind, argument) for _ in range(self.random.randint(1, 2))]
            elif (
                "!" not in head
                and kind in ("boolean", "date", "dateTime", "string", "code")
                and self.random.random() < 0.08
            ):
                made["_" + name] = ABSENT
            else:
                made[name] = self.value(kind, argument)

    def meta(self) -> Resource:
        r = self.random
        meta: Resource = {"tag": [{"system": "http://runs.example", "code": self.run}]}
        if r.random() < 0.4:
            meta["tag"].append(self.coding())
        if r.random() < 0.3:
            meta["security"] = [self.coding()]
        if r.random() < 0.3:
            meta["profile"] = [f"http://profiles.example/p{r.randint(1, 2)}{r.choice(pools.VERSIONS)}"]
        if r.random() < 0.3:
            meta["source"] = r.choice(pools.ADDRESSES)
        return meta

    # --- data types

    def value(self, kind: str, argument: str) -> Any:
        if argument == "=clinical":
            return {"coding": [{"system": CLINICAL, "code": "resolved"}]}
        if argument == "=verification":
            return {"coding": [{"system": VERIFICATION, "code": self.random.choice(("confirmed", "provisional"))}]}
        if argument == "=list":
            return self.listed()
        if argument == "=true":
            return True
        if kind == "code":
            return self.random.choice(argument.split("|"))
        if kind == "Reference":
            return self.reference(self.random.choice(argument.split("|")))
        return getattr(self, kind.lower())()

    def boolean(self) -> bool:
        return self.random.random() < 0.5

    def string(self) -> str:
        return self.random.choice(pools.TEXTS)

    def positiveint(self) -> int:
        return self.random.randint(1, 3)

    def decimal(self) -> Any:
        return self.random.choice(pools.DECIMALS)

    def uri(self) -> str:
        return self.random.choice(pools.ADDRESSES)

    def canonical(self) -> str:
        urls = [address for address in pools.ADDRESSES if address.startswith("http")]
        return self.random.choice(urls) + self.random.choice(pools.VERSIONS)

    def date(self) -> str:
        return self.random.choice(pools.DATES)

    def datetime(self) -> str:
        return self.random.choice(self.random.choice((pools.DATES, pools.MOMENTS)))

    def instant(self) -> str:
        return self.random.choice(pools.MOMENTS)

    def period(self) -> Resource:
        start, end = self.datetime(), self.datetime()
        if self.random.random() < 0.25:
            return {"start": start}
        if self.random.random() < 0.25:
            return {"end": end}
        if dates.interval(start)[0] >= dates.interval(end)[0]:
            start, end = end, start
        return {"start": start, "end": end} if dates.interval(start)[1] <= dates.interval(end)[0] else {"start": start}

    def timing(self) -> Resource:
        made: Resource = {}
        if self.random.random() < 0.7:
            made["event"] = [self.datetime() for _ in range(self.random.randint(1, 2))]
        if not made or self.random.random() < 0.3:
            made["repeat"] = {"boundsPeriod": self.period()}
        return made

    def coding(self) -> Resource:
        made = {"code": self.random.choice(pools.CODES)}
        system = self.random.choice(pools.SYSTEMS)
        if system:
            made["system"] = system
        if self.random.random() < 0.4:
            made["display"] = self.random.choice(pools.DISPLAYS)
        return made

    def codeableconcept(self) -> Resource:
        made: Resource = {"coding": [self.coding() for _ in range(self.random.randint(0, 2))]}
        if not made["coding"]:
            del made["coding"]
        if not made or self.random.random() < 0.4:
            made["text"] = self.random.choice(pools.DISPLAYS + pools.TEXTS)
        return made

    def identifier(self) -> Resource:
        made: Resource = {"value": self.random.choice(pools.CODES)}
        system = self.random.choice(pools.SYSTEMS)
        if system:
            made["system"] = system
        if self.random.random() < 0.4:
            made["type"] = self.codeableconcept()
        if system and self.random.random() < 0.1:
            del made["value"]
        return made

    def contactpoint(self) -> Resource:
        system = self.random.choice(("phone", "email", "sms"))
        value = {"phone": ("+57 300 555 0101", "555-0101", "5550101"), "email": ("Ana@x.example", "ana@x.example")}
        return {"system": system, "value": self.random.choice(value.get(system, ("555-0101",)))}

    def humanname(self) -> Resource:
        made: Resource = {"use": self.random.choice(("official", "usual"))}
        if self.random.random() < 0.7:
            made["family"] = self.string()
        if self.random.random() < 0.6:
            made["given"] = [self.string() for _ in range(self.random.randint(1, 2))]
            if self.random.random() < 0.1:
                made["given"], made["_given"] = [None, *made["given"]], [ABSENT, *(None for _ in made["given"])]
        if self.random.random() < 0.2:
            made["prefix"] = [self.string()]
        if len(made) == 1 or self.random.random() < 0.2:
            made["text"] = self.string()
        return made

    def address(self) -> Resource:
        made: Resource = {"use": self.random.choice(("work", "temp", "billing"))}
        for part in ("city", "state", "country", "postalCode", "district", "text"):
            if self.random.random() < 0.35:
                made[part] = self.string()
        if len(made) == 1 or self.random.random() < 0.4:
            made["line"] = [self.string() for _ in range(self.random.randint(1, 2))]
        return made

    def quantity(self) -> Resource:
        made = {"value": self.decimal(), **self.random.choice(pools.UNITS)}
        if self.random.random() < 0.3:
            made["comparator"] = self.random.choice(("<", "<=", ">", ">="))
        return made

    def age(self) -> Resource:
        return {"value": abs(self.decimal()) or 1, "unit": "a", "system": "http://unitsofmeasure.org", "code": "a"}

    def duration(self) -> Resource:
        code = self.random.choice(("h", "min", "d"))
        return {"value": self.decimal(), "unit": code, "system": "http://unitsofmeasure.org", "code": code}

    def money(self) -> Resource:
        return {"value": self.decimal(), "currency": self.random.choice(pools.CURRENCIES)}

    def range(self) -> Resource:
        lo, hi = sorted((self.decimal(), self.decimal()))
        unit = self.random.choice([unit for unit in pools.UNITS if unit])
        ends = {"low": {"value": lo, **unit}, "high": {"value": hi, **unit}}
        if self.random.random() < 0.3:
            del ends[self.random.choice(("low", "high"))]
        return ends

    def listed(self) -> Resource:
        """What a List is about, by one of the codes that make it a current one."""
        code = self.random.choice(("problems", "medications", "allergies", "worklist"))
        coding = {"system": "http://terminology.hl7.org/CodeSystem/list-example-codes", "code": code}
        return {"coding": [coding if self.random.random() < 0.7 else {"system": LOINC, "code": "11450-4"}]}

    def position(self) -> Resource:
        latitude, longitude = self.random.choice(pools.PLACES)
        return {"longitude": longitude, "latitude": latitude}

    def narrative(self) -> Resource:
        """A narrative with words in elements that have names and attributes."""
        words = " ".join(self.random.choice(pools.WORDS) for _ in range(self.random.randint(1, 4)))
        marked = f'<p class="dull">{words}</p><br/><b>{self.random.choice(pools.WORDS)}</b>'
        return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{marked}</div>'}

    def reference(self, target: str) -> Resource:
        r = self.random
        identity = r.choice(self.ids[target])
        if self.near is not None and r.random() < 0.9:
            return {"reference": f"{target}/{self.ids[target][self.near]}"}
        made: Resource = {"reference": f"{target}/{identity}"}
        dice = r.random()
        if dice < 0.12:
            made["reference"] = f"{self.base_url}/{target}/{identity}"
        elif dice < 0.2:
            made["reference"] += "/_history/" + r.choice("12")
        elif dice < 0.28:
            made["reference"] = f"http://other.example/fhir/{target}/{identity}"
        elif dice < 0.36:
            made = {"type": target, "identifier": self.identifier()}
        if r.random() < 0.2:
            made["identifier"] = self.identifier()
        return made

    def detail(self) -> Resource:
        return self.node(
            [
                "status! code not-started|scheduled|completed",
                "code CodeableConcept",
                "scheduled[] Timing|Period|string",
                "performer* Reference Practitioner|Organization|Patient",
            ],
            0.6,
        )

    # --- invariants

    def repair(self, made: Resource) -> None:
        """What the rules of a type ask for beyond its elements."""
        kind = made["resourceType"]
        if kind == "Observation":
            self._observation(made)
        if kind == "RiskAssessment":
            for prediction in made.get("prediction", ()):
                self._probability(prediction)
        if kind == "ValueSet" and self.random.random() < 0.6:
            made["compose"] = {"include": [self._include() for _ in range(self.random.randint(1, 2))]}
        if kind == "ValueSet" and self.random.random() < 0.3:
            made["expansion"] = {
                "identifier": self.uri(),
                "timestamp": "2024-02-29T10:30:00Z",
                "contains": [{"system": pools.SYSTEMS[0], "code": self.random.choice(pools.CODES)}],
            }
        if kind == "Appointment" and "start" in made:
            made["start"] = self.random.choice([m for m in pools.MOMENTS if m < "3"])
            made["end"] = "9999-12-31T23:59:59Z"

    def _observation(self, made: Resource) -> None:
        codes = [coding for component in made.get("component", ()) for coding in component["code"].get("coding", ())]
        values = [key for key in made if key.lstrip("_").startswith("value")]
        shared = any(coding in codes for coding in made["code"].get("coding", ()))
        for key in values:
            if shared or "dataAbsentReason" in made:
                del made[key]
        for component in made.get("component", ()):
            if any(key.startswith("value") for key in component):
                component.pop("dataAbsentReason", None)

    def _probability(self, prediction: Resource) -> None:
        if "probabilityDecimal" in prediction:
            prediction["probabilityDecimal"] = min(prediction["probabilityDecimal"], 100)
        found = prediction.get("probabilityRange", {})
        for end in found.values():
            end.update({"value": max(0, min(end["value"], 100)), "unit": "%", "code": "%"})
            end["system"] = "http://unitsofmeasure.org"

    def _include(self) -> Resource:
        return {"system": self.random.choice(pools.SYSTEMS[:3]), "concept": [{"code": self.random.choice(pools.CODES)}]}
