#!/bin/bash
# healthcheck.sh of the stand-in for the mariadb image: a connection over TCP, and an answer from InnoDB.
set -eu
for check; do
  case "$check" in
    --connect) : < /dev/tcp/127.0.0.1/3306 ;;
    --innodb_initialized) mariadb --user=root --execute='SELECT 1 FROM information_schema.ENGINES WHERE engine="innodb"' | grep -q 1 ;;
    *) echo "Cannot check $check" >&2; exit 2 ;;
  esac
done
