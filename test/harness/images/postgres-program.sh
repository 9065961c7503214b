#!/bin/sh
# Debian keeps the programs of each PostgreSQL in a folder that has its version in it.
exec /usr/lib/postgresql/*/bin/"${0##*/}" "$@"
