"""Code for functions that evaluate an argument for each item.

https://hl7.org/fhirpath/N1/#filtering-and-projection, #aggregates, #iif
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from typing import TYPE_CHECKING, Any

from fhir.fhirpath import special, values
from fhir.fhirpath.ast import Binary, Call, Expression, Literal, Polarity, Special, parts
from fhir.fhirpath.emitter import Branch, Branches, Mode, Scope, Shape
from fhir.fhirpath.exceptions import FhirPathEvaluationError, FhirPathTypeError
from fhir.fhirpath.navigation import is_open
from fhir.fhirpath.tree import is_primitive
from fhir.fhirpath.values import Item, Items

if TYPE_CHECKING:
    from fhir.fhirpath.generator import Generator

BOOLEAN = "System.Boolean"
_REPEATED = 100_000
Criterion = Callable[[Scope], str]


def uses_index(e: Expression) -> bool:
    """Whether `$index` occurs."""
    return (isinstance(e, Special) and e.name == "index") or any(map(uses_index, parts(e)))


def _base(g: Generator, e: Call, scope: Scope, mode: Mode = Mode.ELEMENTS) -> Branches:
    base = special.base_of(g, e, scope, mode)
    if len(base) > 1 and any(uses_index(a) for a in e.arguments):
        return [Branch("", g.emitter.variable(g.items(base, elements=True)), Shape.ITEMS)]
    return base


def _inside(b: Branch, name: str) -> Branch:
    """What `$this` is while iterating over a branch with the variable `name`."""
    if b.shape is Shape.LIST:
        return Branch(b.type, name, Shape.ONE, sibling="None", sure=True)
    if is_open(b.type):
        return Branch(b.type, f"[{name}]", Shape.ITEMS, single=True)
    primitive = is_primitive(b.type)
    return Branch(b.type, f"{name}[1]", Shape.ONE, sibling=f"{name}[2]" if primitive else "None", sure=not primitive)


def where(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    """`where(criterion)`; also the filter of `exists(criterion)`."""
    return [f for b in _base(g, e, scope) for f in filtered(g, b, e.arguments[0], scope, mode)]


def filtered(g: Generator, b: Branch, criterion: Expression, scope: Scope, mode: Mode) -> Branches:
    """The items of a branch for which the criterion is true."""
    return keep(g, b, lambda inner: g.true(criterion, inner), scope, mode, indexed=uses_index(criterion))


def keep(g: Generator, b: Branch, test: Criterion, scope: Scope, mode: Mode, *, indexed: bool = False) -> Branches:
    """The items of a branch that pass the code that `test` writes for them."""
    if b.shape is Shape.ONE:
        return _keep_one(g, b, test, scope)
    name = g.emitter.name("t")
    index = g.emitter.name("n") if indexed else None
    loop = f"for {index}, {name} in enumerate({b.code} or ())" if indexed else f"for {name} in {b.code} or ()"
    with g.emitter.captured() as lines:
        code = test(scope.focus(_inside(b, name), index=index))
    if not lines:
        return [Branch(b.type, f"[{name} {loop} if {code}]", b.shape, single=b.single)]
    found = g.emitter.name()
    g.emitter.emit(f"{found} = []")
    g.emitter.emit(f"{loop}:")
    g.emitter.lines += lines
    with g.emitter.block():
        g.emitter.emit(f"if {code}: {found}.append({name})")
    return [Branch(b.type, found, b.shape, single=b.single)]


def _keep_one(g: Generator, b: Branch, test: Criterion, scope: Scope) -> Branches:
    name = g.emitter.variable(b.code)
    this = Branch(b.type, name, Shape.ONE, b.sibling, sure=b.sure or not is_primitive(b.type))
    found = g.emitter.name()
    g.emitter.emit(f"{found} = None")
    g.emitter.emit(f"if {g.presence(Branch(b.type, name, Shape.ONE, b.sibling, b.sure))}:")
    with g.emitter.block():
        code = test(scope.focus(this, index="0"))
        g.emitter.emit(f"if {code}: {found} = {name}")
    if is_open(b.type):
        this = Branch(b.type, name, Shape.ONE)
    return [Branch(b.type, found, Shape.ONE, sibling=b.sibling)]


def counterexample(g: Generator, e: Call, scope: Scope) -> str:
    """Code that is truthy when `all(criterion)` is false."""
    criterion = e.arguments[0]
    indexed = uses_index(criterion)
    found = [
        g.presence(f)
        for b in _base(g, e, scope)
        for f in keep(g, b, lambda inner: f"(not {g.true(criterion, inner)})", scope, Mode.PRESENCE, indexed=indexed)
    ]
    return f"({' or '.join(found)})" if found else "False"


def all_(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    """`all(criterion)`"""
    code = f"(not {counterexample(g, e, scope)})"
    return [Branch(BOOLEAN, g.emitter.variable(code), Shape.ONE, sure=True)]


def _loop(g: Generator, b: Branch, scope: Scope, indexed: bool) -> tuple[str, Scope]:
    """The head of a loop over a branch of any shape, and the scope inside."""
    name = g.emitter.name("t")
    index = g.emitter.name("n") if indexed else None
    if b.shape is Shape.ONE:
        code = f"{g.items([b], elements=True)}"
        b = Branch(b.type, code, Shape.ITEMS, single=True)
    head = f"for {index}, {name} in enumerate({b.code} or ()):" if indexed else f"for {name} in {b.code} or ():"
    return head, scope.focus(_inside(b, name), index=index)


def select(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    """`select(projection)`"""
    return project(g, _base(g, e, scope), e.arguments[0], scope, mode)


def project(g: Generator, base: Branches, projection: Expression, scope: Scope, mode: Mode) -> Branches:
    """The results of a projection for each item of some branches."""
    found = g.emitter.name()
    types: set[str] = set()
    g.emitter.emit(f"{found} = []")
    for b in base:
        head, inner = _loop(g, b, scope, uses_index(projection))
        g.emitter.emit(head)
        with g.emitter.block():
            branches = g.generate(projection, inner, Mode.ELEMENTS)
            types |= {x.type for x in branches}
            g.emitter.emit(f"{found} += {g.items(branches, elements=True)}")
    if not base:
        g.generate(projection, scope.focus(Branch("", "[]", Shape.ITEMS)), mode)
    return [Branch(types.pop() if len(types) == 1 else "", found, Shape.ITEMS)]


def repeat(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    """`repeat(projection)`: level by level, each result once."""
    level, found, known, below = (g.emitter.name() for _ in range(4))
    name, item = g.emitter.name("t"), g.emitter.name("i")
    emit = g.emitter.emit
    emit(f"{level}, {found}, {known} = {g.items(_base(g, e, scope), elements=True)}, [], set()")
    emit(f"while {level}:")
    with g.emitter.block():
        emit(f"{below} = []")
        emit(f"for {name} in {level}:")
        with g.emitter.block():
            this = Branch("", f"[{name}]", Shape.ITEMS, single=True)
            branches = g.generate(e.arguments[0], scope.focus(this), Mode.ELEMENTS)
            emit(f"for {item} in {g.items(branches, elements=True)}:")
            with g.emitter.block():
                emit(f"if {g.runtime(is_new)}({known}, {item}): {below}.append({item})")
        emit(f"{found} += {below}")
        emit(f"{level} = {below}")
    return [Branch("", found, Shape.ITEMS)]


def is_new(known: set[Any], item: Item) -> bool:
    """Whether no equal item was seen; it is remembered. Raises FhirPathEvaluationError when it never ends."""
    if len(known) > _REPEATED:
        raise FhirPathEvaluationError(f"repeat() gives more than {_REPEATED} items")
    key = values.key(item)
    if key in known:
        return False
    known.add(key)
    return True


def aggregate(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    """`aggregate(aggregator, init)`"""
    total, name = g.emitter.name(), g.emitter.name("t")
    start = g.items(g.generate(e.arguments[1], scope)) if len(e.arguments) > 1 else "[]"
    items = g.items(_base(g, e, scope), elements=True)
    index = g.emitter.name("n")
    g.emitter.emit(f"{total} = {start}")
    g.emitter.emit(f"for {index}, {name} in enumerate({items}):")
    with g.emitter.block():
        this = Branch("", f"[{name}]", Shape.ITEMS, single=True)
        inner = Scope([this], index, [Branch("", total, Shape.ITEMS)])
        g.emitter.emit(f"{total} = {g.items(g.generate(e.arguments[0], inner))}")
    return [Branch("", total, Shape.ITEMS)]


def iif(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    """`iif(criterion, then, else)`: only the branch that is needed is evaluated."""
    criterion, then = e.arguments[0], e.arguments[1]
    _check_criterion(criterion)
    inner = scope
    if e.base is not None:
        base = g.generate(e.base, scope, Mode.ELEMENTS)
        name = g.emitter.variable(f"{g.runtime(values_of_one)}({g.items(base, elements=True)})")
        types = {b.type for b in base}
        kind = types.pop() if len(types) == 1 else ""
        inner = scope.focus(Branch(kind, name, Shape.ITEMS, single=True), index="0")
    found = g.emitter.name()
    g.emitter.emit(f"if {g.true(criterion, inner)}:")
    static: set[str] = set()
    for arm in (then, e.arguments[2] if len(e.arguments) > 2 else None):
        with g.emitter.block():
            branches = g.generate(arm, inner, Mode.ELEMENTS) if arm is not None else []
            static |= {b.type for b in branches}
            g.emitter.emit(f"{found} = {g.items(branches, elements=True)}")
        if arm is then:
            g.emitter.emit("else:")
    return [Branch(static.pop() if len(static) == 1 else "", found, Shape.ITEMS)]


def values_of_one(items: Items) -> Items:
    """The items themselves. Raises FhirPathEvaluationError for several."""
    if len(items) > 1:
        raise FhirPathEvaluationError("iif() works on one item at most")
    return items


def _check_criterion(e: Expression) -> None:
    several = isinstance(e, Binary) and e.operator == "|" and all(isinstance(x, Literal) for x in (e.left, e.right))
    if (isinstance(e, Literal) and e.type != BOOLEAN) or several:
        raise FhirPathTypeError("The criterion of iif() must be a boolean")


def sort(g: Generator, e: Call, scope: Scope, mode: Mode) -> Branches:
    """`sort(key, …)`: each key may have a minus for descending order."""
    base = _base(g, e, scope)
    items = g.emitter.variable(g.items(base, elements=True))
    keyed, name = g.emitter.name(), g.emitter.name("t")
    keys = e.arguments or (Special(e.position, "this"),)
    g.emitter.emit(f"{keyed} = []")
    g.emitter.emit(f"for {name} in {items}:")
    types = {b.type for b in base}
    kind = types.pop() if len(types) == 1 else ""
    with g.emitter.block():
        inner = scope.focus(_inside(Branch(kind, items, Shape.ITEMS), name))
        codes = [g.items(g.generate(_plain_key(k), inner)) for k in keys]
        g.emitter.emit(f"{keyed}.append(([{', '.join(codes)}], {name}))")
    descending = tuple(isinstance(k, Polarity) and k.operator == "-" for k in keys)
    return [Branch(kind, f"{g.runtime(sorted_items)}({keyed}, {descending!r})", Shape.ITEMS)]


def _plain_key(key: Expression) -> Expression:
    return key.operand if isinstance(key, Polarity) else key


def sorted_items(keyed: list[tuple[list[Items], Item]], descending: tuple[bool, ...]) -> Items:
    """Items in the order of their keys; an empty key comes first in either direction, as HL7's tests have it."""

    def compare(a: tuple[list[Items], Item], b: tuple[list[Items], Item]) -> int:
        for x, y, down in zip(a[0], b[0], descending, strict=True):
            p, q = values.only(x), values.only(y)
            if p is None or q is None:
                if (p is None) != (q is None):
                    return -1 if p is None else 1
                continue
            order = values.order(p, q) or 0
            if order:
                return -order if down else order
        return 0

    return [item for _, item in sorted(keyed, key=cmp_to_key(compare))]
