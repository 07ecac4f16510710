"""One module for each type of search parameter (https://hl7.org/fhir/R4/search.html#ptypes).

Each reads the values of a resource into what is stored, and the values of a query into a clause:
`parse(parameter, modifier, values)` takes the alternatives of one repetition, split but with their
escapes. What cannot be understood raises InvalidRequest with the parameter as its expression.
"""

from __future__ import annotations
