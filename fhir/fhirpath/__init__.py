"""FHIRPath (https://hl7.org/fhirpath/N1/) compiled, with the types of FHIR R4, to straight-line Python."""

from __future__ import annotations

from fhir.fhirpath.compiler import (
    compile_boolean,
    compile_booleans,
    compile_expression,
    compile_many,
    compile_typed,
    evaluate,
)
from fhir.fhirpath.environment import Environment
from fhir.fhirpath.exceptions import (
    FhirPathError,
    FhirPathEvaluationError,
    FhirPathLimitError,
    FhirPathSyntaxError,
    FhirPathTypeError,
)
from fhir.fhirpath.locate import Location, locate

__all__ = (
    "Environment",
    "FhirPathError",
    "FhirPathEvaluationError",
    "FhirPathLimitError",
    "FhirPathSyntaxError",
    "FhirPathTypeError",
    "Location",
    "compile_boolean",
    "compile_booleans",
    "compile_expression",
    "compile_many",
    "compile_typed",
    "evaluate",
    "locate",
)
