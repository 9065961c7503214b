#!/bin/bash
# The first process of the stand-in for the postgres image: fills an empty PGDATA as POSTGRES_* say, then runs the server.
set -euo pipefail

setting() {
  local file_name="$1_FILE"
  if [ -n "${!file_name:-}" ]; then cat "${!file_name}"; else echo "${!1:-}"; fi
}
as_postgres() { chroot --userspec=postgres:postgres / "$@"; }

if [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
if [ "$1" != postgres ]; then exec "$@"; fi
mkdir -p "$PGDATA" /run/postgresql
chown postgres:postgres "$PGDATA" /run/postgresql
chmod 700 "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  user=$(setting POSTGRES_USER)
  user=${user:-postgres}
  database=$(setting POSTGRES_DB)
  database=${database:-$user}
  password=$(setting POSTGRES_PASSWORD)
  if [ -z "$password" ]; then
    echo 'Cannot begin: set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE.' >&2
    exit 1
  fi
  install --mode=600 --owner=postgres /dev/null /run/postgresql/password
  echo "$password" > /run/postgresql/password
  as_postgres initdb --username="$user" --pwfile=/run/postgresql/password --encoding=UTF8 --locale=C.UTF-8 \
    --auth-local=trust --auth-host=scram-sha-256 --no-sync > /dev/null
  rm /run/postgresql/password
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  if [ "$database" != postgres ]; then
    echo "CREATE DATABASE \"$database\"" | as_postgres postgres --single -j -D "$PGDATA" postgres > /dev/null
  fi
fi
# without its compiler for queries, which the image leaves out
exec chroot --userspec=postgres:postgres / "$@" -D "$PGDATA" -c listen_addresses='*' -c jit=off
