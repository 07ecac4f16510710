"""What is compiled from the definitions, made once before the workers fork, so that they share its memory."""

from __future__ import annotations

import gc

from fhir import compartment, nodes, reindex_server, validation
from fhir.interactions import capabilities, placeholders
from fhir.search import extract


def prepare() -> None:
    """Compiles extractors, validators and what describes the server. Takes a second or two.

    The processes that follow are those of a server: they do the reindexing that comes up.
    """
    nodes.serve()
    reindex_server.serve()
    compartment.prepare()
    extract.prepare()
    validation.prepare()
    capabilities.prepare()
    placeholders.link_keys()
    # What exists now stays: collections in the workers would only touch, and so copy, its pages.
    gc.collect()
    gc.freeze()
