"""Search over HTTP against the oracle: random resources, random queries, the same answers.

ORACLE_CASES says how many queries (300), ORACLE_SEED where they begin: a difference names both.
"""

from __future__ import annotations

import os
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

from .oracle.codes import CODE_SYSTEM
from .oracle.judge import World, disorder, judge
from .oracle.parameters import COMPARTMENT
from .oracle.queries import Asker, Query
from .oracle.resources import Maker

CASES = int(os.environ.get("ORACLE_CASES", "300"))
SEED = int(os.environ.get("ORACLE_SEED", "1"))
PER_TYPE = 14
PER_RUN = 500
BASE_URL = "http://testserver/fhir/R4"
TAG = "http://runs.example"


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

    def ask(self, query: Query, **more: str) -> tuple[list[dict[str, Any]], int | None]:
        """The matches on all pages and the total, if it was asked for. Raises Refused."""
        answer = self.first_page(query, [*query.pairs, ("_tag", f"{TAG}|{self.name}"), *more.items()])
        found: list[dict[str, Any]] = []
        total = None
        while True:
            bundle = json.loads(answer.content)
            if answer.status_code != 200:
                raise Refused(answer.status_code, bundle["issue"][0])
            found += [entry["resource"] for entry in bundle.get("entry", ())]
            total = bundle.get("total") if more.get("_total") == "accurate" else None
            links = {link["relation"]: link["url"] for link in bundle["link"]}
            if "next" not in links:
                return found, total
            answer = self.client.get("/fhir/R4" + links["next"].removeprefix(BASE_URL))

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
            found, total = self.ask(query, **options)
        except Refused as refusal:
            # docs/search.md: a link that may lead to very many types has to name one.
            bound = refusal.code == "too-costly" and any(name.count(".") > 1 for name, _value in query.pairs)
            right = bound or (refusal.status in (400, 403) and self.forbidden(query))
            return None if right else str(refusal)
        expected = {resource["id"] for resource in matches}
        ids = [resource["id"] for resource in found]
        if len(ids) != len(set(ids)):
            return f"twice: {sorted(i for i in ids if ids.count(i) > 1)}"
        if set(ids) != expected:
            return f"too many: {sorted(set(ids) - expected)} missing: {sorted(expected - set(ids))}"
        if options.get("_total") and total != len(expected):
            return f"total {total}, not {len(expected)}"
        return disorder(found, query.sort) if query.sort else None

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
        names = " ".join(name for name, _value in query.pairs)
        looks_elsewhere = "." in names or "_has" in names or ":in" in names or ":not-in" in names or query.patient
        return bool(looks_elsewhere) or not COMPARTMENT.keys() >= set(query.types)


class Refused(AssertionError):
    """An answer that is not 200."""

    def __init__(self, status: int, issue: dict[str, Any]) -> None:
        super().__init__(f"{status} {issue['details']['text']}")
        self.status, self.code = status, issue["code"]


def test_random_queries_find_what_the_specification_says(api: Any) -> None:
    assert list(_differences(api, CASES, patients=False)) == []


def test_patients_find_the_same_in_what_is_about_them_and_nothing_else(api: Any) -> None:
    assert list(_differences(api, CASES // 3, patients=True)) == []


def _differences(api: Any, cases: int, *, patients: bool) -> Iterator[tuple[int, Query, str]]:
    client = api(role="administrator")
    for number in range(0, cases, PER_RUN):
        run = Run(client, SEED + number)
        asker = Asker(run.random, run.world.resources, BASE_URL)
        for case in range(min(PER_RUN, cases - number)):
            if patients and case % 50 == 0:
                view: Run = Patient(run, api)
            query = asker.query()
            wrong = (view if patients else run).difference(query)
            if wrong is not None:
                _tell(run, query, wrong)
                yield run.seed, query, wrong


def _tell(run: Run, query: Query, wrong: str) -> None:
    """Everything that is needed to judge a difference, into the file that ORACLE_REPORT names."""
    report = os.environ.get("ORACLE_REPORT")
    if report:
        with open(report, "a") as out:
            print(run.seed, query, wrong.replace(run.name, "RUN"), sep="\n", file=out)
            for resource in run.world.resources:
                if resource["id"] in wrong:
                    print("   ", json.dumps(resource).decode().replace(run.name, "RUN"), file=out)
