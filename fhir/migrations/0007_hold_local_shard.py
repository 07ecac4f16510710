from __future__ import annotations

from django.db import migrations

# fhir.local_shards sends it before statements that go past Citus. It takes what Citus itself would take before them, so
# that neither a shard that moves nor a table that is distributed anew leaves anything behind, and looks then whether all
# is as it was: each question in it sees what is committed by now. Plain PostgreSQL has it too, and never calls it.
_CREATE = """
CREATE FUNCTION hold_local_shard(shard bigint, tables text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
 PERFORM set_config('citus.enable_manual_changes_to_shards', 'on', true),
  set_config('plan_cache_mode', 'force_generic_plan', true);
 PERFORM lock_relation_if_exists(name, 'ROW SHARE') FROM unnest(tables) AS name;
 IF EXISTS (SELECT FROM pg_dist_shard WHERE shardid = shard) THEN
  PERFORM lock_shard_metadata(5, ARRAY[shard]);
 END IF;
 IF EXISTS (SELECT FROM pg_dist_node WHERE groupid <> 0)
  OR NOT EXISTS (SELECT FROM pg_dist_shard WHERE shardid = shard) THEN
  RAISE EXCEPTION USING ERRCODE = 'CRMOV', MESSAGE = 'the shard is not on the only node';
 END IF;
END $$
"""


class Migration(migrations.Migration):

    dependencies = [
        ("fhir", "0006_stored_definition"),
    ]

    operations = [
        migrations.RunSQL(_CREATE, "DROP FUNCTION hold_local_shard(bigint, text[])"),
    ]
