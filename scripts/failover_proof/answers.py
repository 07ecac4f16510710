"""What an answer must be: checks that raise Wrong. Each remembers what was acknowledged when it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .client import Answer, Check, Wrong, place_of
from .ledger import Key, Ledger, Written
from .resources import comparable, mark_of, resolved


class Answers:
    """Makes the checks. They are made before the request is sent, and called when the answer has come."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def nothing(self, _answer: Answer) -> None:
        """The status says it all."""

    def located(self, written: Written) -> Check:
        """A create or update: takes over the id and version that it names."""

        def check(answer: Answer) -> None:
            _adopt(written, answer.headers.get("location") or _location(answer.resource()))

        return check

    def transaction(self, writes: Sequence[Written], full_urls: Sequence[str | None]) -> Check:
        """One answer for each entry, with ids and versions; references to other entries lead there from now on."""

        def check(answer: Answer) -> None:
            entries = answer.resource().get("entry", [])
            if len(entries) != len(writes):
                raise Wrong(f"{len(entries)} answers to {len(writes)} entries")
            places = {}
            for written, url, entry in zip(writes, full_urls, entries, strict=True):
                _adopt(written, entry.get("response", {}).get("location"))
                if url:
                    places[url] = f"{written.type}/{written.id}"
            for written in writes:
                written.body = resolved(written.body, places)

        return check

    def read(self, key: Key) -> Check:
        """The version that was acknowledged, or one that was written after it."""
        least = self.ledger.head(key).written.version or 0

        def check(answer: Answer) -> None:
            self._is_ours(answer.resource(), key, least)

        return check

    def chart(self, patient: str, resource_type: str) -> Check:
        """All acknowledged resources of a type of a patient, and none but this patient's."""
        least = self.ledger.chart(patient, resource_type)

        def check(answer: Answer) -> None:
            found = _matches(answer.resource())
            for key, resource in found.items():
                self._is_ours(resource, key, 1)
                if resource["subject"]["reference"] != f"Patient/{patient}":
                    raise Wrong(f"{key} of another patient")
            if missing := least - found.keys():
                raise Wrong(f"{len(missing)} of {len(least)} acknowledged {resource_type} are missing")

        return check

    def exactly(self, keys: frozenset[Key]) -> Check:
        """These resources, no more and no fewer."""

        def check(answer: Answer) -> None:
            found = _matches(answer.resource()).keys()
            if found != keys:
                raise Wrong(f"{len(found)} matches instead of {len(keys)}: {len(keys - found)} are missing")

        return check

    def count(self, label: str) -> Check:
        """A total between what was acknowledged before and what was sent until now."""
        least = self.ledger.acknowledged(label)

        def check(answer: Answer) -> None:
            total, most = answer.resource().get("total"), self.ledger.begun(label)
            if not isinstance(total, int) or not least <= total <= most:
                raise Wrong(f"a total of {total}, where at least {least} and at most {most} are stored")

        return check

    def _is_ours(self, resource: Any, key: Key, least: int) -> None:
        """The resource of this key as one of the load wrote it, at version `least` or later."""
        if (resource.get("resourceType"), resource.get("id")) != key:
            raise Wrong(f"another resource than {key}")
        version = int(resource["meta"]["versionId"])
        if version < least:
            raise Wrong(f"version {version} of {key}, where {least} was acknowledged")
        written = self.ledger.written(mark_of(resource) or "")
        if written is None:
            raise Wrong(f"{key} with content that nobody wrote")
        if self.ledger.is_settled(written) and comparable(written.body) != comparable(resource):
            raise Wrong(f"{key} with other content than was written")


def _adopt(written: Written, location: str | None) -> None:
    resource_type, resource_id, version = place_of(location)
    if resource_type != written.type or written.id not in (None, resource_id):
        raise Wrong(f"{written.type}/{written.id} was stored as {location}")
    written.id, written.version = resource_id, version


def _location(resource: Any) -> str:
    return f"{resource['resourceType']}/{resource['id']}/_history/{resource['meta']['versionId']}"


def _matches(bundle: Any) -> dict[Key, Any]:
    """The matches of a searchset that has everything on one page. Raises Wrong."""
    if any(link["relation"] == "next" for link in bundle.get("link", [])):
        raise Wrong("a page more than there should be")
    found = [entry["resource"] for entry in bundle.get("entry", []) if entry["search"]["mode"] == "match"]
    keyed = {(resource["resourceType"], resource["id"]): resource for resource in found}
    if len(keyed) != len(found):
        raise Wrong("the same match twice")
    return keyed
