"""What a narrative may contain (https://hl7.org/fhir/R4/narrative.html#xhtml and #security).

Text and basic formatting only: no head, script, form, frame, object, style sheet link or event attribute; links to
http(s), ftp, mailto, tel and within the page; images by reference or as inline data.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html.entities import name2codepoint
from xml.etree import ElementTree

_NAMESPACE = "http://www.w3.org/1999/xhtml"
_ELEMENTS = frozenset(
    [
        "div",
        "p",
        "span",
        "br",
        "hr",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "b",
        "i",
        "u",
        "em",
        "strong",
        "small",
        "big",
        "tt",
        "sub",
        "sup",
        "bdo",
        "q",
        "cite",
        "code",
        "samp",
        "kbd",
        "var",
        "dfn",
        "abbr",
        "acronym",
        "address",
        "blockquote",
        "pre",
        "ins",
        "del",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "a",
        "img",
        "map",
        "area",
        "table",
        "caption",
        "colgroup",
        "col",
        "thead",
        "tbody",
        "tfoot",
        "tr",
        "th",
        "td",
    ]
)
_GLOBAL = frozenset(["title", "class", "id", "lang", "dir", "style", "accesskey", "tabindex"])
_ATTRIBUTES: dict[str, frozenset[str]] = {
    "a": frozenset(["href", "name", "rel", "rev", "charset", "hreflang", "type", "shape", "coords", "target"]),
    "img": frozenset(["src", "alt", "longdesc", "height", "width", "usemap", "ismap", "border"]),
    "map": frozenset(["name"]),
    "area": frozenset(["shape", "coords", "href", "nohref", "alt", "target"]),
    "table": frozenset(
        ["summary", "width", "border", "frame", "rules", "cellspacing", "cellpadding", "bgcolor", "align"]
    ),
    "q": frozenset(["cite"]),
    "blockquote": frozenset(["cite"]),
    "ins": frozenset(["cite", "datetime"]),
    "del": frozenset(["cite", "datetime"]),
    "ol": frozenset(["start", "type", "compact"]),
    "ul": frozenset(["type", "compact"]),
    "li": frozenset(["value", "type"]),
    "dl": frozenset(["compact"]),
    "pre": frozenset(["width", "space"]),
    "br": frozenset(["clear"]),
    "hr": frozenset(["align", "noshade", "size", "width"]),
}
_CELLS = frozenset(["align", "valign", "char", "charoff", "width", "height", "bgcolor"])
_CELL_ELEMENTS = frozenset(["colgroup", "col", "thead", "tbody", "tfoot", "tr", "th", "td"])
_CELL_ONLY = frozenset(["span", "abbr", "axis", "headers", "scope", "rowspan", "colspan", "nowrap"])
_ALIGNED = frozenset(["p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "caption", "img"])
_LINK = re.compile(r"(?:https?:|ftp:|mailto:|tel:|#|[^:]*$)", re.IGNORECASE)
_IMAGE = re.compile(r"(?:https?:|data:\s*image/|#|[^:]*$)", re.IGNORECASE)
_STYLE = re.compile(r"expression\s*\(|javascript:|vbscript:|@import|behavior\s*:|-moz-binding", re.IGNORECASE)
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[0-9A-Fa-f]+);)([A-Za-z][A-Za-z0-9]*);")


@lru_cache(maxsize=256)
def problems(text: str) -> tuple[str, ...]:
    """What is wrong with the XHTML of `Narrative.div`, as short codes: "syntax", "element script", "link a"…"""
    if "<!DOCTYPE" in text or "<!ENTITY" in text or "<?" in text:
        return ("declaration",)
    try:
        root = ElementTree.fromstring(_ENTITY.sub(_character, text))
    except ElementTree.ParseError:
        return ("syntax",)
    if root.tag != f"{{{_NAMESPACE}}}div":
        return ("root",)
    found = [problem for element in root.iter() for problem in _element(element)]
    if not "".join(root.itertext()).strip() and root.find(f".//{{{_NAMESPACE}}}img") is None:
        found.append("empty")
    return tuple(found)


def _character(match: re.Match[str]) -> str:
    code = name2codepoint.get(match.group(1))
    return f"&#{code};" if code else match.group()


def _element(element: ElementTree.Element) -> list[str]:
    namespace, _, name = str(element.tag).rpartition("}")
    if namespace != f"{{{_NAMESPACE}" or name not in _ELEMENTS:
        return [f"element {name}"]
    found = []
    for attribute, value in element.attrib.items():
        plain = attribute.rpartition("}")[2]
        if not _allowed(name, plain):
            found.append(f"attribute {name}.{plain}")
        elif plain in ("href", "src", "cite", "longdesc"):
            if not (_IMAGE if plain == "src" else _LINK).match(value.strip()):
                found.append(f"link {name}")
        elif plain == "style" and _STYLE.search(value):
            found.append(f"style {name}")
    return found


def _allowed(name: str, attribute: str) -> bool:
    if attribute in _GLOBAL or attribute in _ATTRIBUTES.get(name, ()):
        return True
    if name in _CELL_ELEMENTS and (attribute in _CELLS or attribute in _CELL_ONLY):
        return True
    return name in _ALIGNED and attribute == "align"
