#!/bin/bash
# Ten times to the other site and back (CYCLES=n for another number): the same bytes after each hop, and nothing left behind.
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

say "An application moves to site-b and back, ${CYCLES:-10} times"
e2e_python -m moves.cycles
say "All of it holds"
