"""Text to syntax tree: an operator-precedence parser for the grammar of FHIRPath 2.0 (normative release 1).

https://hl7.org/fhirpath/N1/#grammar and https://hl7.org/fhirpath/N1/#operator-precedence
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from fhir.fhirpath.ast import (
    Binary,
    Call,
    EmptyCollection,
    Expression,
    ExternalConstant,
    Indexer,
    Literal,
    Member,
    Polarity,
    Special,
    TypeExpression,
    parts,
)
from fhir.fhirpath.exceptions import FhirPathLimitError, FhirPathSyntaxError
from fhir.fhirpath.lexer import Token, tokens
from fhir.fhirpath.temporal import moment

CALENDAR_UNITS = ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")

_PRECEDENCE = {
    "implies": 1,
    **dict.fromkeys(("or", "xor"), 2),
    "and": 3,
    **dict.fromkeys(("in", "contains"), 4),
    **dict.fromkeys(("=", "~", "!=", "!~"), 5),
    **dict.fromkeys(("<=", "<", ">", ">="), 6),
    "|": 7,
    **dict.fromkeys(("is", "as"), 8),
    **dict.fromkeys(("+", "-", "&"), 9),
    **dict.fromkeys(("*", "/", "div", "mod"), 10),
}
_POLARITY = 11
_KEYWORDS = ("and", "div", "implies", "mod", "or", "xor", "true", "false")
_OPERATOR_NAMES = ("div", "mod")
_LENGTH = 20_000  # characters; the longest official expression has 1,386
_DIGITS = 100
_DEPTH = 100  # an expression nested deeper than any sensible one is refused before Python's stack is exhausted


@lru_cache(maxsize=4096)
def parse(expression: str) -> Expression:
    """The syntax tree of an expression. Raises FhirPathSyntaxError with the position of the first wrong token.

    Raises FhirPathLimitError for what is too long or too deep.
    """
    if len(expression) > _LENGTH:
        raise FhirPathLimitError(f"The expression has more than {_LENGTH} characters")
    tree = _Parser(expression).parse()
    if _is_deep(tree):
        raise FhirPathLimitError("The expression is nested too deeply")
    return tree


def _is_deep(tree: Expression) -> bool:
    """Whether walking the tree could exhaust Python's stack: a chain `a.b.c…` is as deep as it is long."""
    level: tuple[Expression, ...] = (tree,)
    for _ in range(_DEPTH):
        level = tuple(part for e in level for part in parts(e))
        if not level:
            return False
    return True


class _Parser:
    def __init__(self, expression: str) -> None:
        self.text = expression
        self.tokens = list(tokens(expression))
        self.index = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def parse(self) -> Expression:
        result = self.expression(0)
        if self.token.kind != "end":
            raise self.error("Unexpected text")
        return result

    def error(self, message: str) -> FhirPathSyntaxError:
        if self.token.kind == "end":
            message = "Unexpected end"
        return FhirPathSyntaxError(message, self.text, self.token.position)

    def advance(self) -> Token:
        token = self.token
        self.index += 1
        return token

    def accept(self, symbol: str) -> bool:
        if self.token.kind == "symbol" and self.token.text == symbol:
            self.index += 1
            return True
        return False

    def expect(self, symbol: str) -> None:
        if not self.accept(symbol):
            raise self.error(f"Expected {symbol!r}")

    def expression(self, minimum: int) -> Expression:
        """Everything from here that binds tighter than `minimum`."""
        self.depth += 1
        if self.depth > _DEPTH:
            raise FhirPathLimitError("The expression is nested too deeply")
        left = self.operand()
        while (precedence := self.operator()) > minimum:
            token = self.advance()
            if token.text in ("is", "as"):
                left = TypeExpression(token.position, token.text, left, self.type_specifier())
            else:
                left = Binary(token.position, token.text, left, self.expression(precedence))
        self.depth -= 1
        return left

    def operator(self) -> int:
        return _PRECEDENCE.get(self.token.text, 0) if self.token.kind in ("symbol", "identifier") else 0

    def operand(self) -> Expression:
        if self.token.kind == "symbol" and self.token.text in "+-":
            token = self.advance()
            return Polarity(token.position, token.text, self.expression(_POLARITY))
        result = self.term()
        while True:
            if self.accept("."):
                result = self.invocation(result)
            elif self.token.text == "[" and self.token.kind == "symbol":
                position = self.advance().position
                result = Indexer(position, result, self.expression(0))
                self.expect("]")
            else:
                return result

    def term(self) -> Expression:
        token = self.token
        if token.kind == "symbol":
            return self.symbol_term()
        if token.kind == "special":
            self.index += 1
            return Special(token.position, token.text[1:])
        if token.kind == "identifier" and token.text in ("true", "false"):
            self.index += 1
            return Literal(token.position, "System.Boolean", token.text == "true")
        if token.kind in ("identifier", "delimited"):
            return self.invocation(None)
        return self.literal()

    def symbol_term(self) -> Expression:
        position = self.token.position
        if self.accept("("):
            result = self.expression(0)
            self.expect(")")
            return result
        if self.accept("{"):
            self.expect("}")
            return EmptyCollection(position)
        if self.accept("%"):
            if self.token.kind not in ("identifier", "delimited", "string"):
                raise self.error("Expected the name of a constant")
            return ExternalConstant(position, self.constant_name())
        raise self.error("Expected an expression")

    def constant_name(self) -> str:
        """`%vs-name` without quotes is older usage that official R4 expressions still contain."""
        token = self.advance()
        name, end = token.text, token.position + len(token.text)
        while (
            token.kind == "identifier"
            and name.split("-")[0] in ("vs", "ext")
            and self.token.text == "-"
            and self.token.position == end
            and self.tokens[self.index + 1].kind == "identifier"
        ):
            self.index += 1
            part = self.advance()
            name, end = f"{name}-{part.text}", part.position + len(part.text)
        return name

    def invocation(self, base: Expression | None) -> Expression:
        token = self.token
        if token.kind == "special" and base is not None:
            self.index += 1
            return Special(token.position, token.text[1:])
        # After a dot no operator can stand, so `text.div` needs no quotes; HL7's cases of FHIRPath Patch write it so.
        name = self.identifier() if base is None or token.text not in _OPERATOR_NAMES else self.advance().text
        if not self.accept("("):
            return Member(token.position, base, name)
        arguments: list[Expression] = []
        if not self.accept(")"):
            arguments.append(self.expression(0))
            while self.accept(","):
                arguments.append(self.expression(0))
            self.expect(")")
        return Call(token.position, base, name, tuple(arguments))

    def identifier(self) -> str:
        token = self.token
        if token.kind == "delimited" or (token.kind == "identifier" and token.text not in _KEYWORDS):
            self.index += 1
            return token.text
        raise self.error("Expected a name")

    def type_specifier(self) -> str:
        name = self.identifier()
        while self.accept("."):
            name = f"{name}.{self.identifier()}"
        return name

    def literal(self) -> Expression:
        token = self.advance()
        match token.kind:
            case "string":
                return Literal(token.position, "System.String", token.text)
            case "number":
                return self.number(token)
            case "date" | "datetime" | "time":
                return self.moment(token)
        self.index -= 1
        raise self.error("Expected an expression")

    def moment(self, token: Token) -> Literal:
        text = token.text.removeprefix("@").strip("T")
        if moment(text, token.kind == "time") is None:
            raise FhirPathSyntaxError("No such date or time", self.text, token.position)
        kinds = {"date": "System.Date", "datetime": "System.DateTime", "time": "System.Time"}
        return Literal(token.position, kinds[token.kind], text)

    def number(self, token: Token) -> Literal:
        unit = self.token
        if len(token.text) > _DIGITS:
            raise FhirPathSyntaxError("Too many digits", self.text, token.position)
        if unit.kind == "string":
            self.index += 1
            return Literal(
                token.position,
                "System.Quantity",
                {"value": Decimal(token.text), "system": "http://unitsofmeasure.org", "code": unit.text},
            )
        if unit.kind == "identifier" and unit.text.removesuffix("s") in CALENDAR_UNITS:
            self.index += 1
            value = {"value": Decimal(token.text), "unit": unit.text.removesuffix("s")}
            return Literal(token.position, "System.Quantity", value)
        if "." in token.text:
            return Literal(token.position, "System.Decimal", Decimal(token.text))
        return Literal(token.position, "System.Integer", int(token.text))
