"""The syntax tree of FHIRPath (https://hl7.org/fhirpath/N1/#grammar). Positions count characters from 0."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Expression:
    """Base of every node. Two nodes are equal when they mean the same, wherever they stand."""

    position: int = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Literal(Expression):
    """A constant: `type` is a System type ("System.String"), `value` its Python form (see `values`)."""

    type: str
    value: Any

    def __hash__(self) -> int:
        return hash((self.type, str(self.value)))


@dataclass(frozen=True, slots=True)
class EmptyCollection(Expression):
    """`{}`"""


@dataclass(frozen=True, slots=True)
class ExternalConstant(Expression):
    """`%name`, with `name` unquoted."""

    name: str


@dataclass(frozen=True, slots=True)
class Special(Expression):
    """`$this`, `$index` or `$total`; `name` without the dollar."""

    name: str


@dataclass(frozen=True, slots=True)
class Member(Expression):
    """`base.name`, or `name` alone (base None), which starts at the focus."""

    base: Expression | None
    name: str


@dataclass(frozen=True, slots=True)
class Call(Expression):
    """`base.name(arguments)`, or without base a call on the focus."""

    base: Expression | None
    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Indexer(Expression):
    """`base[index]`"""

    base: Expression
    index: Expression


@dataclass(frozen=True, slots=True)
class Polarity(Expression):
    """`+operand` or `-operand`"""

    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary(Expression):
    """`left operator right`"""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class TypeExpression(Expression):
    """`operand is type` or `operand as type`; `type` may be qualified: "FHIR.Patient"."""

    operator: str
    operand: Expression
    type: str


def parts(e: Expression) -> tuple[Expression, ...]:
    """The expressions directly inside an expression."""
    match e:
        case Member():
            return () if e.base is None else (e.base,)
        case Call():
            return e.arguments if e.base is None else (e.base, *e.arguments)
        case Indexer():
            return (e.base, e.index)
        case Binary():
            return (e.left, e.right)
        case Polarity() | TypeExpression():
            return (e.operand,)
    return ()
