#!/bin/bash
# down.sh [<site>|all] [--wipe] : stop what up.sh started (by stored pid only).
# --wipe also removes the site's data and configuration.
set -euo pipefail
. "$(dirname "$0")/env.sh"
TARGET="${1:-all}"; WIPE="${2:-}"
[ "$TARGET" = --wipe ] && { TARGET=all; WIPE=--wipe; }
down() (
  site_env "$1"
  local s pids=""
  for s in nova-compute cinder-volume cinder-scheduler nova-scheduler nova-conductor \
           cinder-api nova-api neutron glance placement keystone; do reap "$s" & pids="$pids $!"; done
  # shellcheck disable=SC2086
  wait $pids || true
  for s in rabbitmq mysql; do reap "$s" 30; done
  reap memcached; reap epmd
  [ "$WIPE" != --wipe ] || rm -rf "${SITE_DIR:?}"
  echo "$SITE down${WIPE:+ and wiped}"
)
ALL=""; [ "$TARGET" != all ] || { ALL=1; TARGET="$(site_names)"; }
pids=""
for s in $TARGET; do down "$s" & pids="$pids $!"; done
for p in $pids; do wait "$p"; done
[ -z "$ALL" ] || [ "$TESTBED_BACKEND" != rbd ] || "$TESTBED_HERE/../ceph/down.sh" ${WIPE:+--wipe}
[ -z "$ALL" ] || [ "$WIPE" != --wipe ] || rm -f "$TESTBED_BASE/backend"
