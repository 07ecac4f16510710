#!/bin/sh
# Makes the application's role and its database on the first primary of a group: `post_bootstrap` of patroni.yml.
# $1 is the superuser's connection string; the password of APPLICATION_USER lets the nodes speak with each other as him.
set -eu
run() {
    psql -X -q -v ON_ERROR_STOP=1 -v name="$APPLICATION_DATABASE" -v role="$APPLICATION_USER" "$@"
}
# A password may hold anything: psql quotes it, and reads it from the environment, where no list of processes shows it.
run "$1" <<'SQL'
\set password `printf %s "$APPLICATION_PASSWORD"`
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"role";
\connect :"name"
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
CREATE EXTENSION citus;
CREATE EXTENSION pg_trgm;
INSERT INTO pg_dist_authinfo (nodeid, rolename, authinfo)
    VALUES (0, :'role', 'password=''' || replace(replace(:'password', '\', '\\'), '''', '\''') || '''');
SQL
