"""What generated code is made of: lines, names, constants; and what is known of a value while it is generated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any


class Shape(Enum):
    """How a branch's Python expression holds its values."""

    ONE = auto()  # a bare value, or None for an empty collection
    LIST = auto()  # a list or tuple of bare values, or None
    ITEMS = auto()  # a list of items (see `values`)


class Mode(Enum):
    """What the code that asks for a collection does with it."""

    VALUES = auto()  # reads values: primitives without one are left out
    ELEMENTS = auto()  # asks for extensions, ids or positions too: primitives come as items, with or without value
    PRESENCE = auto()  # asks only whether there is anything


@dataclass(frozen=True, slots=True)
class Branch:
    """A part of a collection of one static type; a collection is a list of branches, one after the other.

    `type` is "" where it is known only at run time (then the shape is ITEMS). `code` has no side effects. `sibling` is
    the code of a single primitive's extensions, `sure` says that a ONE is never None, `single` that ITEMS are at most
    one.
    """

    type: str
    code: str
    shape: Shape
    sibling: str | None = None
    sure: bool = False
    single: bool = False


Branches = list[Branch]


@dataclass(frozen=True, slots=True)
class Scope:
    """What `$this`, `$index` and `$total` stand for."""

    this: Branches
    index: str | None = None
    total: Branches | None = None

    def focus(self, *this: Branch, index: str | None = None) -> Scope:
        """The scope inside an iteration."""
        return replace(self, this=list(this), index=index)


@dataclass(slots=True)
class Emitter:
    """Collects the body of one function. Names starting with h are look-ups in the root, made once at the top."""

    lines: list[str] = field(default_factory=list)
    depth: int = 1
    constants: dict[str, Any] = field(default_factory=dict)
    hoisted: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def emit(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def name(self, prefix: str = "v") -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def variable(self, code: str) -> str:
        """A name for the value of `code`, unless it is one already."""
        if code.isidentifier():
            return code
        name = self.name()
        self.emit(f"{name} = {code}")
        return name

    def constant(self, value: Any) -> str:
        """A name for a Python object made at compile time."""
        name = self.name("k")
        self.constants[name] = value
        return name

    def hoist(self, code: str) -> str:
        """A name for a look-up in the root node."""
        if code not in self.hoisted:
            self.hoisted[code] = self.name("h")
        return self.hoisted[code]

    @contextmanager
    def block(self) -> Iterator[None]:
        """Indent what is emitted inside."""
        self.depth += 1
        yield
        self.depth -= 1

    @contextmanager
    def captured(self) -> Iterator[list[str]]:
        """Keep what is emitted inside apart, indented by one more level."""
        outer, self.lines = self.lines, []
        inner = self.lines
        with self.block():
            yield inner
        self.lines = outer

    def body(self) -> list[str]:
        """All lines; root look-ups used once are put where they are used."""
        text = "\n".join(self.lines)
        top = []
        for code, name in self.hoisted.items():
            uses = len(re.findall(rf"\b{name}\b", text))
            if uses == 1:
                text = re.sub(rf"\b{name}\b", code, text)
            elif uses:
                top.append(f"    {name} = {code}")
        return top + text.split("\n")
