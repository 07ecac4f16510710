"""What searches ask of the terminology; answers are kept in the process as long as nothing they rest on is written."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

from . import texts
from .expansion import Expander
from .library import CODE_SYSTEM, Key, Library, Name
from .members import Members
from .texts import refusal

# Codes of all value sets that a process keeps expanded; what is kept about a set counts as twenty.
_MOST_KEPT = 60_000
_LEAST_WEIGHT = 20
_Fingerprint = tuple[tuple[Key | None, ...], ...]


@dataclass(frozen=True, slots=True)
class _Answer:
    members: Members
    names: tuple[Name, ...]
    fingerprint: _Fingerprint


class _Answers:
    """The expansions that were used last, within a bound of codes. Shared by the threads of a process."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.kept: OrderedDict[tuple[str, str], _Answer] = OrderedDict()
        self.weight = 0

    def get(self, key: tuple[str, str]) -> _Answer | None:
        with self.lock:
            found = self.kept.get(key)
            if found is not None:
                self.kept.move_to_end(key)
            return found

    def put(self, key: tuple[str, str], answer: _Answer) -> None:
        with self.lock:
            self._drop(self.kept.pop(key, None))
            self.kept[key] = answer
            self.weight += _LEAST_WEIGHT + len(answer.members)
            while self.weight > _MOST_KEPT and len(self.kept) > 1:
                self._drop(self.kept.popitem(last=False)[1])

    def _drop(self, answer: _Answer | None) -> None:
        if answer is not None:
            self.weight -= _LEAST_WEIGHT + len(answer.members)


_answers = _Answers()


class Terminology:
    """For one search: at most one round trip where nothing has changed since its value sets were last used.

    It reads stored ValueSets and CodeSystems with the authority of the server, whoever asks (docs/terminology.md).
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.library = Library()

    def expect(self, value_sets: Iterable[str], systems: Iterable[str] = ()) -> None:
        """Say beforehand what will be asked, so that all of it is looked up at once."""
        for value_set in value_sets:
            kept = _answers.get((self.base_url, value_set))
            self.library.expect(kept.names if kept is not None else [self._expander().name_of(value_set)[0]])
        self.library.expect(Name(CODE_SYSTEM, system) for system in systems)

    def _expander(self) -> Expander:
        return Expander(self.library, self.base_url)

    def members(self, value_set: str) -> Members:
        """The members of a value set: `ValueSet/[id]` or a canonical url. Raises InvalidRequest, never a part."""
        key = (self.base_url, value_set)
        kept = _answers.get(key)
        if kept is not None and self.library.fingerprint(kept.names) == kept.fingerprint:
            return kept.members
        expander = self._expander()
        found = expander.members(value_set)
        names = tuple(expander.names)
        _answers.put(key, _Answer(found, names, self.library.fingerprint(names)))
        return found

    def below(self, system: str, code: str) -> Members:
        """A code and all that it subsumes. Raises InvalidRequest where they are not known."""
        return self._related(system, code, "below")

    def above(self, system: str, code: str) -> Members:
        """A code and all that subsume it. Raises InvalidRequest where they are not known."""
        return self._related(system, code, "above")

    def _related(self, url: str, code: str, direction: str) -> Members:
        system = self.library.code_system(url, None)
        if system is None:
            raise refusal(texts.NO_CODES, system=url, asked=f"{url}|{code}")
        if code not in system.codes:
            raise refusal(texts.UNKNOWN_CODE, "invalid", code=code, system=url)
        return Members({url: system.below(code) if direction == "below" else system.above(code)})
