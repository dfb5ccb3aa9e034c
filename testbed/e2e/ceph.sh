#!/bin/bash
# ceph.sh [cycles|drill|stream|retained]...: Cinder's volumes are RBD images of two Ceph clusters, mirrored by protector; default: all.
# Exits non-zero when anything is not as it should be; the clouds are emptied either way.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$E2E_HERE/protectors.sh"
. "$E2E_HERE/stage.sh"
export BIN OPENSTACK E2E_DIR
# On a busy machine Ceph is slow to tell what a deletion rests on, and what was read 15 s ago is read anew.
export E2E_CLEANUP_SECONDS="${E2E_CLEANUP_SECONDS:-240}" E2E_PATIENCE_SECONDS="${E2E_PATIENCE_SECONDS:-900}"
[ "$TESTBED_BACKEND" = rbd ] || fail "the testbed's volumes are in the back end $TESTBED_BACKEND: TESTBED_BACKEND=rbd make testbed-up, on a testbed of its own"

enter
say "Two real clouds on two Ceph clusters, a protector on each, registered by the administrator"
empty_the_stage
start_protectors
register

say "An application on RBD"
e2e_python -m moves.ceph "$@"
say "All of it holds"
