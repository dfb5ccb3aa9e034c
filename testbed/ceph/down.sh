#!/bin/bash
# down.sh [--wipe] : stop what up.sh started (by stored pid only); --wipe also removes the clusters.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
for daemon in rbd-mirror osd mgr mon; do
  for site in a b; do
    id="$site"; [ "$daemon" != osd ] || id=0
    stop "$site" "$daemon.$id" & pids="${pids:-} $!"
  done
  # shellcheck disable=SC2086
  wait $pids
done
[ "${1:-}" != --wipe ] || rm -rf "${CEPHBED_BASE:?}"/site-a "${CEPHBED_BASE:?}"/site-b
echo "both clusters down${1:+ and wiped}"
