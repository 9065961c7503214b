#!/bin/bash
# The first process of the stand-in for the mariadb image: fills an empty data folder as MARIADB_* say, then runs the server.
set -euo pipefail

# The setting NAME, or what stands in the file that NAME_FILE names.
setting() {
  local file_name="$1_FILE"
  if [ -n "${!file_name:-}" ]; then cat "${!file_name}"; else echo "${!1:-}"; fi
}
quoted() { echo "'${1//\'/\'\'}'"; }

if [ "${1:0:1}" = - ]; then set -- mariadbd "$@"; fi
if [ "$1" != mariadbd ]; then exec "$@"; fi
mkdir -p /run/mysqld
chown mysql:mysql /run/mysqld /var/lib/mysql
if [ ! -d /var/lib/mysql/mysql ]; then
  database=$(setting MARIADB_DATABASE) user=$(setting MARIADB_USER)
  password=$(setting MARIADB_PASSWORD) root_password=$(setting MARIADB_ROOT_PASSWORD)
  if [ -z "$root_password" ] && [ -z "${MARIADB_RANDOM_ROOT_PASSWORD:-}" ]; then
    echo 'Cannot begin: set MARIADB_ROOT_PASSWORD, MARIADB_ROOT_PASSWORD_FILE or MARIADB_RANDOM_ROOT_PASSWORD.' >&2
    exit 1
  fi
  mariadb-install-db --user=mysql --datadir=/var/lib/mysql --skip-test-db > /dev/null
  install --mode=600 --owner=mysql /dev/null /run/mysqld/first.sql
  {
    if [ -n "$root_password" ]; then
      echo "CREATE USER root@'%' IDENTIFIED BY $(quoted "$root_password"); GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
    fi
    if [ -n "$database" ]; then echo "CREATE DATABASE \`$database\`;"; fi
    if [ -n "$user" ]; then echo "CREATE USER $(quoted "$user")@'%' IDENTIFIED BY $(quoted "$password");"; fi
    if [ -n "$user" ] && [ -n "$database" ]; then echo "GRANT ALL ON \`$database\`.* TO $(quoted "$user")@'%';"; fi
  } > /run/mysqld/first.sql
  set -- "$@" --init-file=/run/mysqld/first.sql
fi
exec "$@" --user=mysql
