#!/bin/bash
# A server with everything goes to the other site and back: what differs is what docs/what-a-copy-keeps.md says.
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

say "A server with everything moves to site-b and back"
e2e_python -m moves.whole_vm
say "All of it holds"
