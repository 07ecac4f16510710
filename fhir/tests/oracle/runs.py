"""The server as the oracle's opponent: resources stored, queries asked over HTTP, answers compared."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from random import Random
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from accounts.scopes import scope_for
from fhir import json
from fhir.interactions import Context
from fhir.interactions.bulk import store_resources

from .codes import CODE_SYSTEM
from .includes import included
from .judge import World, disorder, judge
from .parameters import COMPARTMENT
from .queries import Query
from .resources import Maker

PER_TYPE = 14
BASE_URL = "http://testserver/fhir/R4"
TAG = "http://runs.example"
# docs/search.md: how often `:iterate` goes on.
ROUNDS = 10
# Parameters whose values may look at other resources.
LOOKING = ("_filter", "_list")


class Run:
    """The resources of one run, stored, and what is asked about them."""

    def __init__(self, client: Any, seed: int) -> None:
        self.client, self.seed, self.random = client, seed, Random(seed)
        self.name = f"o{uuid4().hex[:10]}"
        made = Maker(self.random, self.name, BASE_URL, PER_TYPE).all()
        self.store([CODE_SYSTEM, *made])
        self.world = World(tuple(self.stored(made)), BASE_URL, 0)

    def store(self, made: list[dict[str, Any]]) -> None:
        user = self.client.user
        scope = scope_for(user_id=str(user.pk), username=user.username, role=user.role)
        context = Context(scope, BASE_URL, uuid4())
        report = store_resources(deepcopy(made), context)
        refused = [
            (r["resourceType"], [str(i.text) for i in e.issues], e.issues[0].expression) for r, e in report.refused
        ]
        assert refused == []

    def stored(self, made: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The resources as they are read back."""
        for resource in made:
            read = json.loads(self.client.get(f"{resource['resourceType']}/{resource['id']}").content)
            assert {**read, "meta": None} == {**resource, "meta": None}, resource["id"]
            yield read

    def ask(self, query: Query, **more: str) -> tuple[list[Page], int | None]:
        """The pages, and the total if it was asked for. Raises Refused."""
        answer = self.first_page(query, [*query.pairs, *query.includes, ("_tag", f"{TAG}|{self.name}"), *more.items()])
        pages: list[Page] = []
        total = None
        while True:
            bundle = self.bundle(answer)
            pages.append(Page(bundle))
            total = bundle.get("total") if more.get("_total") == "accurate" else None
            if "next" not in pages[-1].links:
                return pages, total
            answer = self.client.get("/fhir/R4" + pages[-1].links["next"].removeprefix(BASE_URL))

    def bundle(self, answer: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = json.loads(answer.content)
        if answer.status_code != 200:
            raise Refused(answer.status_code, bundle["issue"][0])
        return bundle

    def walked_back(self, pages: list[Page]) -> str | None:
        """What is wrong with the way back from the last page to the first."""
        for number in range(len(pages) - 1, 0, -1):
            link = pages[number].links["previous"]
            before = Page(self.bundle(self.client.get("/fhir/R4" + link.removeprefix(BASE_URL))))
            if before.ids != pages[number - 1].ids:
                return f"page {number} backwards: {before.ids}, not {pages[number - 1].ids}"
            pages[number - 1].links = before.links
        return "a page before the first" if "previous" in pages[0].links else None

    def first_page(self, query: Query, pairs: list[tuple[str, str]]) -> Any:
        """The answer to a query: of a type, of a compartment or of the system, by GET or by POST."""
        pairs = pairs + ([("_sort", query.sort)] if query.sort else [])
        path = "" if len(query.types) > 1 else query.types[0]
        if len(query.types) > 1:
            pairs.append(("_type", ",".join(query.types)))
        if query.patient:
            path = f"Patient/{query.patient}/{path}"
        text = "&".join(f"{quote(name, safe=':')}={quote(value, safe='')}" for name, value in pairs)
        return (
            self.client.form(f"{path}/_search".lstrip("/"), text) if query.post else self.client.get(f"{path}?{text}")
        )

    def difference(self, query: Query) -> str | None:
        """What is wrong with the server's answer to a query; None if nothing is."""
        count = self.random.choice(("1000", "1000", "1000", "2", "5"))
        options = {"_count": count, **({"_total": "accurate"} if self.random.random() < 0.3 else {})}
        world = replace(self.world, now=time.time() * 1e6)
        matches = judge(world, query.types, query.pairs)
        if query.patient:
            patient = {"resourceType": "Patient", "id": query.patient}
            matches = [match for match in matches if world.is_about(match, patient)]
        try:
            pages, total = self.ask(query, **options)
        except Refused as refusal:
            # docs/search.md: a link that may lead to very many types has to name one.
            bound = refusal.code == "too-costly" and (
                any(name.count(".") > 1 for name, _value in query.pairs)
                or any(included(world, [match], query.includes)[1] > ROUNDS for match in matches)
            )
            right = bound or (refusal.status in (400, 403) and self.forbidden(query))
            return None if right else str(refusal)
        found = [resource for page in pages for resource in page.matches]
        expected = {resource["id"] for resource in matches}
        ids = [resource["id"] for resource in found]
        if any(page.outcomes for page in pages):
            return f"warned: {pages[0].outcomes}"
        if len(ids) != len(set(ids)):
            return f"twice: {sorted(i for i in ids if ids.count(i) > 1)}"
        if set(ids) != expected:
            return f"too many: {sorted(set(ids) - expected)} missing: {sorted(expected - set(ids))}"
        if options.get("_total") and total != len(expected):
            return f"total {total}, not {len(expected)}"
        wrong = disorder(found, query.sort) if query.sort else None
        return wrong or self.wrongly_included(world, query, pages) or self.walked_back(pages)

    def wrongly_included(self, world: World, query: Query, pages: list[Page]) -> str | None:
        """What is wrong with what the includes have added to each page."""
        for page in pages:
            expected = sorted(resource["id"] for resource in included(world, page.matches, query.includes)[0])
            added = sorted(resource["id"] for resource in page.others)
            if added != expected:
                more, less = set(added) - set(expected), set(expected) - set(added)
                return f"of {page.ids} included: too many {sorted(more)} missing {sorted(less)} of {len(expected)}"
        return None

    def forbidden(self, query: Query) -> bool:
        """Whether a refusal for want of rights is right."""
        return False


class Patient(Run):
    """A run as one of its patients sees it: what is not about this patient is not there at all."""

    def __init__(self, run: Run, api: Any) -> None:
        self.name, self.seed, self.random = run.name, run.seed, run.random
        chosen = self.random.choice(run.world.of_type("Patient"))
        self.client = api(role="patient", fhir_user=f"Patient/{chosen['id']}")
        self.world = run.world.of_patient(chosen)

    def forbidden(self, query: Query) -> bool:
        """Types that are about no patient may not be searched, nor looked into by a chain or by `_has`: 403, or 400
        where of the types that a link may lead to only forbidden ones have what follows."""
        if not COMPARTMENT.keys() >= set(query.types) or query.patient:
            return True
        text = " ".join(f"{name} {value}" if name.endswith(LOOKING) else name for name, value in query.pairs)
        named = set(re.findall(r":([A-Z][A-Za-z]+)[.:[]", text))
        untyped = re.search(r"(^|[\s(\[.:])[-_a-z]+[.[]", text)
        return bool(untyped or not COMPARTMENT.keys() >= named or re.search(r":in\b|:not-in\b| in | ni ", text))


class Page:
    """One Bundle: the matches, what was included, what an outcome says, the links by relation."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        by_mode: dict[str, list[dict[str, Any]]] = {"match": [], "include": [], "outcome": []}
        for entry in bundle.get("entry", ()):
            by_mode[entry["search"]["mode"]].append(entry["resource"])
        self.matches, self.others = by_mode["match"], by_mode["include"]
        self.outcomes = [issue["details"]["text"] for outcome in by_mode["outcome"] for issue in outcome["issue"]]
        self.links = {link["relation"]: link["url"] for link in bundle["link"]}

    @property
    def ids(self) -> list[str]:
        return [resource["id"] for resource in self.matches]


class Refused(AssertionError):
    """An answer that is not 200."""

    def __init__(self, status: int, issue: dict[str, Any]) -> None:
        super().__init__(f"{status} {issue['details']['text']}")
        self.status, self.code = status, issue["code"]


def tell(run: Run, query: Query, wrong: str) -> None:
    """Everything that is needed to judge a difference, into the file that ORACLE_REPORT names."""
    report = os.environ.get("ORACLE_REPORT")
    if report:
        with open(report, "a") as out:
            print(run.seed, query, wrong.replace(run.name, "RUN"), sep="\n", file=out)
            for resource in run.world.resources:
                if resource["id"] in wrong:
                    print("   ", json.dumps(resource).decode().replace(run.name, "RUN"), file=out)
