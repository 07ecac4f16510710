"""Files of resources: JSON and NDJSON, gzipped or not, and folders of them, as numbered documents."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

_SUFFIXES = (".json", ".ndjson", ".jsonl")
_LINES = (".ndjson", ".jsonl")
DAMAGED = (gzip.BadGzipFile, EOFError, zlib.error)


@dataclass(frozen=True, slots=True)
class Document:
    """One JSON text of a file: the line where it begins (from 1), and how many bytes of the file are read by then."""

    line: int
    text: bytes
    position: int


def files(paths: Iterable[str | Path]) -> Iterator[Path]:
    """The files themselves, and those with JSON in folders, by name. Raises FileNotFoundError."""
    for path in map(Path, paths):
        if path.is_dir():
            yield from (found for found in sorted(path.rglob("*")) if found.is_file() and _bare(found)[1])
        elif path.exists():
            yield path
        else:
            raise FileNotFoundError(path)


def digest(path: Path) -> str:
    """SHA-256 of the bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def documents(path: Path) -> Iterator[Document]:
    """The documents of a file: its lines if it is NDJSON, else all of it. Raises OSError and those of DAMAGED."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        content = io.BufferedReader(gzip.GzipFile(fileobj=file)) if packed else file
        first = content.readline()
        if _bare(path)[0] in _LINES or _is_whole(first):
            yield from _lines(first, content, file)
        else:
            yield Document(1, first + content.read(), path.stat().st_size)


def _bare(path: Path) -> tuple[str, bool]:
    """The suffix without .gz, and whether it is one of ours."""
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    return suffix, suffix in _SUFFIXES


def _is_whole(line: bytes) -> bool:
    """Whether a first line is a JSON object by itself: then more such lines may follow."""
    try:
        msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return False
    return True


def _lines(first: bytes, content: BinaryIO | io.BufferedReader, file: BinaryIO) -> Iterator[Document]:
    line, number = first, 1
    while line:
        if line.strip():
            yield Document(number, line, file.tell())
        line, number = content.readline(), number + 1
