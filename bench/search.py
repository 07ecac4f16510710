"""The search part: databases of growing size, every query on each of them in turns, and the report."""

from __future__ import annotations

from collections.abc import Sequence

from . import environment, population, report, sampling, search_report, searches, storage
from .environment import Cluster
from .population import Say
from .queries import OWN, PUBLIC, Query


def chosen(words: Sequence[str]) -> list[Query]:
    """The queries that have one of the words in their names, and those that they are compared with; all without words.

    Raises ValueError where there are none.
    """
    listed = [query.local() for query in PUBLIC] + list(OWN)
    if not words:
        return listed
    found = {query.name: query.plain for query in listed if any(word in query.name for word in words)}
    if not found:
        raise ValueError(f"no query has {' or '.join(words)} in its name")
    return [query for query in listed if query.name in found or query.name in found.values()]


def measure(cluster: Cluster, sizes: Sequence[int], rounds: int, most: int, say: Say, only: Sequence[str] = ()) -> str:
    """Loads, measures and reports; a round asks each query (of `only` these words) up to `most` times a database."""
    listed = chosen(only)
    loaded = population.databases(cluster, sizes, say)
    environment.use(loaded[-1].database)
    tables = storage.sizes()  # before the searches, whose audit rows are many beside few resources
    with searches.sites(cluster, loaded, listed, say) as sites:
        cells = searches.rounds(sites, listed, rounds, most, say)
    figures = search_report.Figures(cells, [one.patients for one in loaded])
    environment.use(loaded[-1].database)
    made = search_report.sections(figures, loaded, tables)
    introduction = (
        f"{report.machine(storage.server_version())}\n\n"
        f"Charts of {population.RESOURCES} resources, loaded by {population.PROCESSES} processes with all checks and "
        f"audit rows. Then one client with one connection, a server of one worker and one thread for each database, "
        f"{rounds} rounds in which each query is asked up to {most} times, for values drawn from {sampling.SAMPLES} "
        "charts: of one database after the other, together with the queries that are compared with it, through the "
        "server and bare, before it is asked again. p50 is that of all its "
        "requests; *growth* is the p50 of the largest by that of the smallest database; *bare* are the recorded "
        "statements, audit row included, from psycopg alone. CPU is that of all processes of gunicorn and of "
        "PostgreSQL, the median of the rounds. *bare*, CPU and entries are those of the largest database."
    )
    return "\n\n".join([introduction, *(f"## {title}\n\n{body}" for title, body in made.items())])
