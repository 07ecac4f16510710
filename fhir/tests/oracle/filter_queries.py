"""Random `_filter` expressions about the resources of an Asker: the whole grammar, every operator."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from . import texts
from .judge import PREFIXES, Resource
from .parameters import PARAMETERS, Parameter

if TYPE_CHECKING:
    from .queries import Asker

# The product answers `ne` for these of tokens that repeat; of others it says that it cannot.
LISTED = {"CodeableConcept", "Coding", "Identifier", "ContactPoint", "code"}
TERMINOLOGY = {"below": "ss", "above": "sb", "in": "in", "not-in": "ni"}


class FilterAsker:
    """Makes filters about resources of one type, or about one resource."""

    def __init__(self, asker: Asker) -> None:
        self.asker, self.random = asker, asker.random

    def filter(self, resource_type: str, about: Resource | None = None, depth: int = 0) -> str:
        r = self.random
        parts = [self.one(resource_type, about, depth)]
        while len(parts) < 7 and r.random() < (0.5, 0.35, 0.2)[min(depth, 2)]:
            parts += [r.choice(("and", "or")), self.one(resource_type, about, depth)]
        return " ".join(parts)

    def one(self, resource_type: str, about: Resource | None, depth: int) -> str:
        dice = self.random.random()
        if depth < 3 and dice < 0.2:
            word = self.random.choice(("", "not ", "not"))
            return f"{word}({self.filter(resource_type, about, depth + 1)})"
        if dice < 0.4:
            return self.linked(resource_type, about, depth)
        return self.test(resource_type, about)

    def linked(self, resource_type: str, about: Resource | None, depth: int) -> str:
        """A test at the end of a link, some with a filter on what the link refers to."""
        if about is None:
            about = self.random.choice(self.asker.of_type[resource_type])
        known = [link for link in self.asker.links if link[0] is about]
        if not known or depth > 2:
            return self.test(resource_type, about)
        _source, parameter, target = self.random.choice(known)
        kind = target["resourceType"]
        typed = self.asker.has_to_be_typed(parameter) or self.random.random() < 0.5
        link = f"{parameter.code}:{kind}" if typed else parameter.code
        if typed and self.random.random() < 0.5:
            link += f"[{self.filter(kind, target, depth + 1)}]"
        if self.random.random() < 0.2:
            end = self.linked(kind, target, depth + 1)
            return f"{link}.{end}"
        return f"{link}.{self.test(kind, target)}"

    def test(self, resource_type: str, about: Resource | None) -> str:
        known = [p for p in PARAMETERS[resource_type].values() if p.code not in ("_tag", "deceased")]
        kind = self.random.choice(sorted({p.type for p in known} - {"special"}))
        parameter = self.random.choice([p for p in known if p.type == kind])
        if self.random.random() < 0.1:
            return f"{parameter.code} pr {self.random.choice(('true', 'false'))}"
        operator, value = self.asked(parameter, about or self.random.choice(self.asker.of_type[resource_type]))
        return f"{parameter.code} {operator} {self.written(value)}"

    def written(self, value: str) -> str:
        if value and not re.search(r'[\s()\[\]"]', value) and self.random.random() < 0.7:
            return value
        return json.dumps(value, ensure_ascii=self.random.random() < 0.3)

    # --- (operator, value) by type of parameter

    def asked(self, parameter: Parameter, about: Resource) -> tuple[str, str]:
        asker, r = self.asker, self.random
        if parameter.type == "string":
            value = asker.value(parameter, about)
            text = r.choice(texts.strings(value)) if value else "x"
            operator = r.choice(("eq", "eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le"))
            return operator, text if r.random() < 0.4 else self.part(text)
        if parameter.type == "date":
            operator = r.choice((*PREFIXES, "po", "co"))
            return operator, asker.date_value(asker.value(parameter, about))
        if parameter.type == "number":
            return r.choice(PREFIXES), asker.number(parameter, about)[1].lstrip("abcdefghijklmnopqrstuvwxyz")
        if parameter.type == "quantity":
            text = asker.quantity_value(asker.value(parameter, about))
            value = re.sub("^[a-z]{2}", "", text).replace("|http://unitsofmeasure.org|", r.choice(UCUM))
            return r.choice(PREFIXES), value
        if parameter.type == "token":
            return self.token(parameter, about)
        if parameter.type == "reference":
            return r.choice(("re", "eq")), self.plain_reference(parameter, about)
        if parameter.type == "uri":
            return "eq", asker.uri(parameter, about)[1]
        return "eq", asker.composite(parameter, about)[1]

    def part(self, text: str) -> str:
        """A part of a text of which something is left when it is folded."""
        found = self.asker.words(text)
        return found if texts.fold(found) else text

    def token(self, parameter: Parameter, about: Resource) -> tuple[str, str]:
        value = self.asker.value(parameter, about)
        kind = value.type if value else parameter.sources[0][1]
        if kind in ("CodeableConcept", "Coding") and self.random.random() < 0.25:
            name, asked = self.asker.terminology(parameter, value)
            return TERMINOLOGY[name.rpartition(":")[2]], asked
        operators = ("eq", "ne") if {fhir_type for _path, fhir_type in parameter.sources} <= LISTED else ("eq",)
        return self.random.choice(operators), self.asker.token_value(parameter, kind, value)

    def plain_reference(self, parameter: Parameter, about: Resource) -> str:
        while True:
            name, value = self.asker.reference(parameter, about)
            if ":" not in name:
                return value
            about = self.random.choice(self.asker.of_type[parameter.resource_type])


UCUM = ("|http://unitsofmeasure.org|", "|ucum|")
