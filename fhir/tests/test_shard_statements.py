"""Statements of one shard: what they name, what goes before them, and what goes instead; without a database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir.local_shards import HOLD, Shard, ShardSQL, Statement, held, routed, table_names

TABLES = ("content", "history", "resource")
BEGIN, COMMIT, OTHER = ("BEGIN", None), ("COMMIT", None), ("SELECT 1 FROM resource", ())


def shard(number: int) -> Shard:
    names = {table: f"{table}_{number}" for table in TABLES}
    return Shard(names, (HOLD, (number, "{resource,content,history}")), table_names(TABLES))


FIRST, SECOND = shard(1), shard(2)
ONE, TWO = (FIRST.sql("SELECT 1 FROM resource"), ()), (SECOND.sql("SELECT 2 FROM resource"), ())
KEEP = "SELECT set_config('plan_cache_mode', 'force_generic_plan', true)"
ANEW = "SELECT set_config('plan_cache_mode', 'force_custom_plan', true)"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("SELECT r.id FROM resource r JOIN content c", "SELECT r.id FROM resource_1 r JOIN content_1 c"),
        ("INSERT INTO history (id) SELECT id FROM content", "INSERT INTO history_1 (id) SELECT id FROM content_1"),
        ("UPDATE content SET body = %s", "UPDATE content_1 SET body = %s"),
        ("DELETE FROM resource", "DELETE FROM resource_1"),
        ("SELECT r.resource, history, 'content' FROM x", "SELECT r.resource, history, 'content' FROM x"),
        ("INSERT INTO content (id) VALUES (%s) ON CONFLICT DO UPDATE SET id = excluded.id",
         "INSERT INTO content_1 (id) VALUES (%s) ON CONFLICT DO UPDATE SET id = excluded.id"),
    ],
)  # fmt: skip
def test_tables_are_named_where_they_stand_as_tables(text: str, named: str) -> None:
    made = FIRST.sql(text)
    assert (made, made.routed, made.shard) == (named, text, FIRST)


def texts(statements: list[Statement]) -> list[str]:
    return [f"HOLD {parameters[0]}" if text == HOLD else str(text) for text, parameters in statements]


@pytest.mark.parametrize(
    ("given_", "begun", "sent"),
    [
        ([OTHER], True, [OTHER[0]]),
        ([ONE], False, ["HOLD 1", ONE[0]]),
        ([ONE, ONE, TWO], False, ["HOLD 1", ONE[0], ONE[0], "HOLD 2", TWO[0]]),
        ([BEGIN, ONE, COMMIT], False, ["BEGIN", "HOLD 1", ONE[0], "COMMIT"]),
        ([BEGIN, ONE], False, ["BEGIN", "HOLD 1", ONE[0], ANEW]),
        ([ONE], True, ["HOLD 1", ONE[0], ANEW]),
        ([OTHER, ONE, OTHER], False, [OTHER[0], "HOLD 1", ONE[0], ANEW, OTHER[0]]),
        ([ONE, OTHER, ONE, COMMIT], True, ["HOLD 1", ONE[0], ANEW, OTHER[0], KEEP, ONE[0], "COMMIT"]),
    ],
)
def test_a_shard_is_held_before_it_is_used_and_citus_plans_anew(
    given_: list[Statement], begun: bool, sent: list[str]
) -> None:
    assert texts(held(given_, begun=begun)[0]) == sent


@given(st.lists(st.sampled_from([ONE, TWO, OTHER]), max_size=8), st.booleans())
def test_each_statement_has_its_place_and_its_way_of_planning(statements: list[Statement], begun: bool) -> None:
    sent, places = held(statements, begun=begun)
    assert [sent[place] for place in places] == statements
    kept, holding = False, set()
    for text, parameters in sent:
        if text == HOLD:
            kept = True
            holding.add(parameters[0])
        elif text in (KEEP, ANEW):
            kept = text == KEEP
        else:
            assert isinstance(text, ShardSQL) == kept
            assert not isinstance(text, ShardSQL) or text.shard.hold[1][0] in holding
    assert not (begun and kept)


def test_what_goes_instead_is_for_citus_or_there_is_none() -> None:
    assert routed([ONE, OTHER]) == [("SELECT 1 FROM resource", ()), OTHER]
    assert routed([ONE, (FIRST.own("SELECT ctid FROM resource"), ())]) is None
    assert routed([(FIRST.own("SELECT xmin FROM resource", "SELECT NULL FROM resource"), ())]) == [
        ("SELECT NULL FROM resource", ())
    ]
