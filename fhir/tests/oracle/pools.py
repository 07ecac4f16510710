"""Awkward values that resources and queries are made of; few enough that they meet."""

from __future__ import annotations

from decimal import Decimal

TEXTS = (
    "José", "JOSE", "jose", "Jose\u0301", "Muñoz", "Munoz", "munoz de la Peña", "O'Brien", "OBrien", "O’Brien",
    "O Brien", "Pérez-Gómez", "Perez Gomez", "perezgomez", "straße", "STRASSE", "İstanbul", "istanbul", "ﬁnch",
    "Finch", "Ångström", "A\u030angstro\u0308m", "Łukasz", "Lukasz", "100%_x", "100%", "100_x", "a,b", "a|b", "a$b",
    "a\\b", "a\\,b", "Ωmega", "ΌΣΟΣ", "όσος", "李小龍", "李", "Zoë", "zoe van der Berg", "Nguyễn", "St. John",
    "St John", "x", "eve", "Severine", "١٢",
)  # fmt: skip
DATES = (
    "1900", "1999", "2023", "2024", "2024-01", "2024-02", "2024-03", "2023-12", "2023-12-31", "2024-01-01",
    "2024-02-28", "2024-02-29", "2024-03-01", "2000-02-29", "1900-02-28", "1969-12-31", "1970-01-01", "2025-01",
    "2025-01-31", "0987-06", "2024-07-01",
    "2024-03-31", "2024-10-27",
)  # fmt: skip
MOMENTS = (
    "2023-12-31T23:59:59-05:00", "2024-01-01T00:00:00-05:00", "2024-01-01T00:00:00Z",
    "2024-03-31T01:30:00Z", "2024-01-01T04:59:59.999Z",
    "2024-01-01T05:00:00Z", "2024-02-29T23:59:59.999-05:00", "2024-02-29T23:59:59.9999999Z",
    "2024-03-01T00:00:00+14:00", "2024-02-29T12:00:00-12:00", "2024-02-29T10:30:00Z", "2024-02-29T10:30:59Z",
    "2024-02-29T10:30:59.5Z", "2024-02-29T10:31:00Z", "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z",
    "2024-02-29T16:00:00.000+05:30", "2024-02-29T10:30:00.000Z", "2024-02-29T05:30:00-05:00",
    "1899-12-31T23:59:59Z", "9999-12-31T23:59:59Z",
)  # fmt: skip
NUMBERS = (
    "0", "1", "-1", "2", "2.0", "5.4", "5.40", "5.35", "5.45", "5.395", "5.405", "5.3499999", "-5.4", "-5.35",
    "-5.45", "99.5", "100", "100.5", "100.00", "95", "105", "145", "155", "150", "0.5", "0.25", "0.1", "0.05",
    "0.0000001", "-0.0000001", "90", "110", "1234567.891", "123456789012.345", "1000000000000000",
    "999999999999999.5", "1e2", "1.5e2", "5.4e-3", "0.0054", "3.3",
)  # fmt: skip
DECIMALS = tuple(Decimal(text) for text in NUMBERS)
UNITS = (
    {"unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"},
    {"unit": "milligram", "system": "http://unitsofmeasure.org", "code": "mg"},
    {"unit": "mg"},
    {"unit": "drops", "system": "http://units.example/s", "code": "mg"},
    {"unit": "Mg", "system": "http://unitsofmeasure.org", "code": "Mg"},
    {"system": "http://unitsofmeasure.org", "code": "mmol/L"},
    {"unit": "[in_i]", "system": "http://unitsofmeasure.org", "code": "[in_i]"},
    {},
)
SYSTEMS = ("http://codes.example/one", "http://codes.example/two", "urn:oid:1.2.3.4", None)
CODES = ("a", "A", "b", "b-1", "1234-5", "x|y", "p,q", "c$d", "back\\slash", "two words", "ñ")
DISPLAYS = ("Heart rate", "heart failure", "Presión arterial", "presion", "Blood, whole", "100% oxygen", "rate")
CURRENCIES = ("USD", "COP", "EUR")
ADDRESSES = (
    "http://acme.example/fhir/ValueSet/123", "http://acme.example/fhir/ValueSet/1234", "http://acme.example/fhir",
    "http://acme.example/fhir/ValueSet", "http://acme.example/Fhir", "http://acme.example/fhirs/x", "urn:oid:1.2.3",
    "urn:oid:1.2.3.4", "http://acme.example/a%20b", "http://acme.example/fhir/ValueSet/123/_history/5",
    "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "http://acme.example/p,q", "http://acme.example/x$y",
)  # fmt: skip
VERSIONS = ("", "", "|1", "|1.2", "|2")
# Latitude and longitude: near each other, across the antimeridian, at a pole.
PLACES = tuple(
    (Decimal(latitude), Decimal(longitude))
    for latitude, longitude in (
        ("4.6097", "-74.0817"), ("4.6533", "-74.0836"), ("4.7110", "-74.0721"), ("6.2442", "-75.5812"),
        ("-17.7134", "178.0650"), ("-17.7", "-179.9"), ("-17.7", "179.9"), ("90", "0"), ("89.9", "100"), ("0", "0"),
        ("51.5074", "-0.1278"), ("51.5074", "0.1278"),
    )
)  # fmt: skip
WORDS = ("Pulso", "estable", "fiebre", "100%", "a_b", "Dolor", "dolores", "div", "rate", "x-ray", "H2O", "final")
