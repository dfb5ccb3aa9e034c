#!/bin/bash
# unplanned.sh [refusing|hanging|importing|building]...: the primary site is lost, in each of these ways, and comes back;
# default: all.
# Exits non-zero when anything is not as it should be; the clouds are emptied either way.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$E2E_HERE/protectors.sh"
. "$E2E_HERE/stage.sh"
export BIN OPENSTACK E2E_DIR

enter
say "Two real clouds, a protector on each, registered by the administrator"
empty_the_stage
start_protectors
register

say "site-a is lost"
e2e_python -m moves.unplanned "$@"
say "All of it holds"
