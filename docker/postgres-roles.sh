#!/bin/sh
# PostgreSQL's image runs it once, when it makes its data folder: two roles, and the database that one of them owns.
# docs/RELIABILITY.md says what each may do.
set -eu
psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set migrate="$MIGRATE_PASSWORD" --set serve="$SERVE_PASSWORD" <<'SQL'
create role synckairos_migrate login password :'migrate';
create role synckairos_serve login password :'serve';
create database synckairos owner synckairos_migrate;
\connect synckairos
revoke all on database synckairos from public;
grant connect on database synckairos to synckairos_serve;
alter default privileges for role synckairos_migrate grant insert on tables to synckairos_serve;
SQL
