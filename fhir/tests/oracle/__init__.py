"""A second opinion on search: the rules of https://hl7.org/fhir/R4/search.html, evaluated plainly over lists of dicts.

It shares nothing with fhir.search or fhir.fhirpath: the elements behind a parameter are listed by hand (parameters.py),
times are integers, numbers are decimals, and every rule is one loop. `judge.judge` answers a query; `resources` and
`queries` make random ones. Where R4 leaves a choice, the choice of docs/search.md is followed and the place says so.
"""

from __future__ import annotations
