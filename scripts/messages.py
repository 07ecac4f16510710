"""Collects the texts for people from code and templates, and compiles their translations; needs no gettext tools.

`scripts/messages.py` updates the catalogues, `--merge FILE…` takes translations from other .po files, `--check`
changes nothing and exits with status 1 if a text is not translated or a compiled catalogue is out of date.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Iterator
from gettext import GNUTranslations
from pathlib import Path
from tokenize import TokenError

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
LOCALE = ROOT / "clinical_records" / "locale"
SOURCES = ("clinical_records", "accounts", "audit", "fhir", "dashboards", "templates")
KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop"), None),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ((1, "c"), 2)),
    **dict.fromkeys(("npgettext", "npgettext_lazy"), ((1, "c"), 2, 3)),
}
PLACEHOLDER = re.compile(r"%\(\w+\)[\d.]*[a-z]|%[sd]|\{\w*\}")


def python_source(path: Path) -> bytes:
    """The file as Python code; a template is turned into calls of gettext first."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        from django.utils.translation.template import templatize

        # What is not to be translated comes back as X, indented as it was: Python minds, so it goes.
        text = "\n".join(line.strip() for line in templatize(text, origin=str(path)).splitlines())
    return text.encode()


def files() -> Iterator[Path]:
    """Code and templates, without tests."""
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".html", ".txt"} and "tests" not in path.parts and "locale" not in path.parts:
                yield path


def collect() -> Catalog:
    """All texts for people. Django's templates are read with default settings."""
    from django.conf import settings

    if not settings.configured:
        settings.configure()
    catalog = Catalog(charset="utf-8")
    for path in files():
        source = io.BytesIO(python_source(path))
        try:
            found = list(extract("python", source, keywords=KEYWORDS, comment_tags=("T:",)))
        except (SyntaxError, TokenError) as error:
            raise SystemExit(f"{path}: {error}") from error
        for _line, message, comments, context in found:
            catalog.add(message, context=context, auto_comments=comments)
    return catalog


def catalogues() -> Iterator[Path]:
    """The .po file of each language."""
    yield from sorted(LOCALE.glob("*/LC_MESSAGES/django.po"))


def read(path: Path) -> Catalog:
    """The catalogue in `path`; the name of its language is the name of the folder."""
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.parent.name, charset="utf-8")


def strings(message: Message) -> list[str]:
    """The translations of one message, one for each plural form."""
    return [message.string] if isinstance(message.string, str) else list(message.string)


def update(path: Path, template: Catalog, others: list[Catalog]) -> Catalog:
    """The catalogue with just the messages of `template`, sorted; its own translations go before those of `others`."""
    old = read(path)
    new = Catalog(locale=old.locale, charset="utf-8", fuzzy=False, header_comment="# Translations of Clinical Records.")
    for message in sorted((one for one in template if one.id), key=lambda one: (str(one.id), one.context or "")):
        known = [catalog.get(message.id, message.context) for catalog in (old, *others)]
        translated = [one for one in known if one and all(strings(one))]
        new.add(message.id, translated[0].string if translated else None, context=message.context)
    return new


def po_bytes(catalog: Catalog) -> bytes:
    """The text of a .po file; no places and no dates, so that it changes only when a text does."""
    output = io.BytesIO()
    write_po(output, catalog, no_location=True, omit_header=False, width=116)
    lines = output.getvalue().decode().splitlines(keepends=True)
    dated = ('"POT-Creation-Date', '"PO-Revision-Date', '"Generated-By', '"Last-Translator', '"Language-Team')
    unused = ('"Project-Id-Version', '"Report-Msgid-Bugs-To')
    return "".join(line for line in lines if not line.startswith(dated + unused)).encode()


def mo_bytes(catalog: Catalog) -> bytes:
    """The compiled catalogue."""
    output = io.BytesIO()
    write_mo(output, catalog)
    return output.getvalue()


def texts(compiled: bytes) -> dict[object, str]:
    """What a compiled catalogue holds, without its header: that has the date and the version of the tool."""
    catalog = dict(GNUTranslations(io.BytesIO(compiled))._catalog)  # type: ignore[attr-defined]
    catalog.pop("", None)
    return catalog


def write(path: Path, catalog: Catalog) -> None:
    """Both files of a language; the compiled one only if its texts change."""
    path.write_bytes(po_bytes(catalog))
    if not is_compiled(path, catalog):
        path.with_suffix(".mo").write_bytes(mo_bytes(catalog))


def is_compiled(path: Path, catalog: Catalog) -> bool:
    """Does the compiled file say what the catalogue does?"""
    compiled = path.with_suffix(".mo")
    return compiled.exists() and texts(compiled.read_bytes()) == texts(mo_bytes(catalog))


def problems(path: Path, template: Catalog) -> Iterator[str]:
    """What is wrong with a catalogue, a line each."""
    have = read(path)
    for message in template:
        if not message.id:
            continue
        known = have.get(message.id, message.context)
        if known is None or not all(strings(known)) or known.fuzzy:
            yield f"not translated: {message.id!r}"
        elif any(placeholders(text) != placeholders(source(message)) for text in strings(known)):
            yield f"other placeholders: {message.id!r}"
    for message in have:
        if message.id and template.get(message.id, message.context) is None:
            yield f"no longer used: {message.id!r}"
    if not is_compiled(path, have):
        yield f"{path.stem}.mo is out of date"


def source(message: Message) -> str:
    """The text to translate; of two forms the plural, which holds all placeholders."""
    return message.id if isinstance(message.id, str) else message.id[-1]


def placeholders(text: str) -> list[str]:
    """What will be filled in, in alphabetical order."""
    return sorted(found.group() for found in PLACEHOLDER.finditer(text))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--merge", nargs="+", type=Path, default=[], metavar="FILE")
    arguments = parser.parse_args()
    template = collect()
    if not arguments.check:
        for path in catalogues():
            others = [read_po(file.open("rb"), locale=path.parent.parent.name) for file in arguments.merge]
            write(path, update(path, template, others))
    wrong = [f"{path.parent.parent.name}: {problem}" for path in catalogues() for problem in problems(path, template)]
    print("\n".join(wrong) or f"{len(template)} texts, all translated.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
