"""JSON in and out with every digit kept (https://hl7.org/fhir/R4/json.html, datatypes.html#decimal).

Decimals become `decimal.Decimal` and are written back as they came; integers stay integers; key order is kept.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")

DecodeError = msgspec.DecodeError


def loads(data: bytes | str) -> Any:
    """The value of a JSON text. Raises DecodeError."""
    return _decoder.decode(data)


def dumps(value: Any) -> bytes:
    """UTF-8 JSON without white space."""
    return _encoder.encode(value)
