"""The members of a value set, from its rules (https://hl7.org/fhir/R4/valueset.html#compositions).

An include or exclude is what meets all of its conditions: the system, its listed codes or filters, and every imported
value set. A value set is its includes together, without its excludes.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir.exceptions import InvalidRequest

from . import filters, texts
from .library import CODE_SYSTEM, VALUE_SET, Library, Name
from .members import Members, Unlistable, union
from .texts import refusal
from .value_sets import Selection, ValueSet

MOST_CODES = 50_000
MOST_NAMES = 500
DEEPEST = 16

_SNOMED = "http://snomed.info/sct"
_LOINC = "http://loinc.org"


class Expander:
    """Expands value sets out of a library; `names` is everything that the answers depend on."""

    def __init__(self, library: Library, base_url: str) -> None:
        self.library, self.base_url = library, base_url
        self.names: dict[Name, None] = {}
        self._known: dict[str, Members] = {}
        self._refused: dict[str, InvalidRequest] = {}
        self._open: list[str] = []

    def name_of(self, reference: str) -> tuple[Name, str | None]:
        """What `ValueSet/[id]`, its full address here, or a canonical url with or without |version, stands for."""
        url, _bar, version = reference.partition("|")
        kind, _slash, resource_id = url.removeprefix(f"{self.base_url}/").partition("/")
        if kind == VALUE_SET and resource_id and "/" not in resource_id:
            return Name(VALUE_SET, "", resource_id), version or None
        return Name(VALUE_SET, url), version or None

    def members(self, reference: str) -> Members:
        """All members. Raises InvalidRequest where they cannot be known completely, or are too many."""
        found = self._known.get(reference)
        if found is None:
            if reference in self._refused:
                raise self._refused[reference]
            if reference in self._open:
                raise refusal(texts.CYCLE, "invalid", value_set=reference)
            if len(self._open) >= DEEPEST:
                raise refusal(texts.TOO_DEEP, "too-costly", limit=DEEPEST)
            self._open.append(reference)
            try:
                found = self._known[reference] = self._expanded(reference)
            except InvalidRequest as error:
                self._refused[reference] = error
                raise
            finally:
                self._open.pop()
        return found

    def _expanded(self, reference: str) -> Members:
        name, version = self.name_of(reference)
        self._note([name], reference)
        definition = self.library.value_set(name, version) or implicit(reference)
        if definition is None:
            raise refusal(texts.UNKNOWN_VALUE_SET, "not-found", value_set=reference)
        try:
            found = self._composed(definition, reference)
        except InvalidRequest:
            # Its rules may need codes that are not here, and its publisher may have written them down.
            if definition.expansion is None:
                raise
            found = definition.expansion
        if len(found) > MOST_CODES:
            raise refusal(texts.TOO_MANY_CODES, "too-costly", value_set=reference, limit=MOST_CODES)
        return found

    def _note(self, names: Iterable[Name], reference: str) -> None:
        """These are needed: the answer depends on them, and they can be fetched together."""
        names = tuple(names)
        self.names.update(dict.fromkeys(names))
        if len(self.names) > MOST_NAMES:
            raise refusal(texts.TOO_MANY_SETS, "too-costly", value_set=reference, limit=MOST_NAMES)
        self.library.expect(names)

    def _composed(self, definition: ValueSet, reference: str) -> Members:
        if not definition.includes:
            if definition.expansion is not None:
                return definition.expansion
            raise refusal(texts.PART_OF_EXPANSION if definition.partial else texts.NO_CONTENT, value_set=reference)
        self._note(self._needed(definition), reference)
        included = union(self._selected(s, reference, definition.active_only) for s in definition.includes)
        try:
            return included - union(self._selected(s, reference, False) for s in definition.excludes)
        except Unlistable as error:
            raise refusal(texts.NO_REST, value_set=reference, system=str(error)) from error

    def _needed(self, definition: ValueSet) -> Iterable[Name]:
        for selection in (*definition.includes, *definition.excludes):
            if selection.system is not None and (selection.codes is None or definition.active_only):
                yield Name(CODE_SYSTEM, selection.system)
            yield from (self.name_of(imported)[0] for imported in selection.imports)

    def _selected(self, selection: Selection, reference: str, active_only: bool) -> Members:
        parts = [self.members(imported) for imported in selection.imports]
        if selection.system is not None:
            parts.append(self._of_system(selection, selection.system, reference, active_only))
        if not parts:
            raise refusal(texts.NO_CONTENT, value_set=reference)
        found = parts[0]
        for part in parts[1:]:
            found &= part
        return found

    def _of_system(self, selection: Selection, url: str, reference: str, active_only: bool) -> Members:
        if selection.codes is not None and not active_only:
            return Members({url: selection.codes}) if selection.codes else Members()
        system = self.library.code_system(url, selection.version)
        if system is None:
            if selection.codes is None and not selection.filters and not active_only and selection.version is None:
                return Members(whole=frozenset((url,)))
            if selection.version is not None and self.library.code_system(url, None) is not None:
                raise refusal(texts.NO_VERSION, system=url, version=selection.version)
            raise refusal(texts.NO_CODES, system=url, asked=reference)
        codes = filters.selected(system, list(selection.filters)) if selection.codes is None else selection.codes
        if active_only:
            codes = frozenset(code for code in codes if code not in system.codes or not system.inactive(code))
        return Members({url: codes}) if codes else Members()


def implicit(reference: str) -> ValueSet | None:
    """Value sets that SNOMED CT and LOINC define by their address alone (https://hl7.org/fhir/R4/snomedct.html#implicit)."""
    if reference == f"{_LOINC}/vs":
        return _whole_or_filtered(reference, _LOINC, ())
    system, _question, query = reference.partition("?")
    if system != _SNOMED or not (query == "fhir_vs" or query.startswith("fhir_vs=isa/")):
        return None
    ancestor = query.partition("/")[2]
    row = {"property": "concept", "op": "is-a", "value": ancestor}
    return _whole_or_filtered(reference, _SNOMED, (row,) if ancestor else ())


def _whole_or_filtered(url: str, system: str, rows: tuple[dict[str, str], ...]) -> ValueSet:
    return ValueSet(url, (Selection(system, None, None, rows, ()),), (), False, None)
