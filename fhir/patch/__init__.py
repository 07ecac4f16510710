"""Changes to a resource as instructions: JSON Patch and FHIRPath Patch (https://hl7.org/fhir/R4/http.html#patch).

Both forms are pure functions of a resource and a patch: they give a new resource, or refuse and leave nothing half
done. Whether the result is a valid resource is asked elsewhere.
"""

from __future__ import annotations
