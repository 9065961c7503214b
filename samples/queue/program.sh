#!/bin/sh
# Puts a numbered job into the queue every so often, or takes jobs from it, one after another.
set -eu
ask() { redis-cli -e -h queue "$@"; }

produce() {
  while true; do
    number=$(ask INCR last)
    ask LPUSH waiting "job $number" > /dev/null
    sleep "${EVERY_SECONDS:-1}"
  done
}

work() {
  ending=no
  trap 'ending=yes' TERM
  while [ "$ending" = no ]; do
    job=$(ask BLMOVE waiting "taken:$HOSTNAME" RIGHT LEFT 2)
    [ -n "$job" ] || continue
    sleep 1
    ask LREM "taken:$HOSTNAME" 1 "$job" > /dev/null
    echo "done: $job"
  done
}

"$1"
