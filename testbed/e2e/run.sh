#!/bin/bash
# The main job on two real OpenStack control planes: a planned failover that cleans up after itself; then once more with a
# volume that Cinder cannot delete at first. Exits non-zero at the first thing that is not as it should be.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$E2E_HERE/protectors.sh"
. "$E2E_HERE/stage.sh"

# --- what the tenant does

protect() { # protect GROUP SERVER...
  local group="$1"; shift
  run openstack dr protection-group create "$group" --primary-site site-a --secondary-site site-b \
    --volume-type replicated --network-mapping prod-net=prod-net -c name -c status -c current_primary_site
  run openstack dr policy create "$group" --primary-fa-url mock://array-a --secondary-fa-url mock://array-b \
    --rpo-minutes 15 -c rpo_minutes
  run openstack dr member add "$group" "$@" -c name -c status
}

last_operation() { openstack dr operation list --protection-group "$1" --type failover -f value -c ID | head -n 1; }

# operation_is OPERATION STATUS FAILED_STEPS: FAILED_STEPS is a space-separated list, "" for none
operation_is() {
  openstack dr operation show "$1" -f json >"$E2E_DIR/$1.json"
  witness operation "$E2E_DIR/$1.json" "$2" "$3" || fail "operation $1 is not as it should be"
}

# --- the story

enter
BEFORE="$E2E_DIR/before.json"

say "Two real clouds, a protector on each, registered by the administrator"
empty_the_stage
start_protectors
register
run openstack dr site list

say "A tenant's web application on site-a"
testbed seed.py seed >/dev/null
run openstack server list -c Name -c Status -c Networks
witness remember "$BEFORE"
protect prod-web-app web-server-1 web-server-2

say "Failover to site-b"
run openstack dr failover prod-web-app --wait
operation="$(last_operation prod-web-app)"
run openstack dr operation show "$operation"
operation_is "$operation" completed ""

say "The VMs run on site-b with the same bytes; nothing of the group is left on site-a"
run openstack server list -c Name -c Status
run openstack volume list -c Name -c Status
run openstack --os-cloud site-b server list -c Name -c Status -c Networks
witness arrived "$BEFORE" || fail "the copies on site-b differ from the originals"
witness gone "$BEFORE" || fail "something is left on site-a"

say "Once more: Cinder on site-a cannot delete vol-data-ws1, its back end calls it busy"
empty_the_stage
testbed seed.py seed >/dev/null
witness remember "$BEFORE"
protect prod-web-db web-server-1 web-server-2
run testbed fault.py site-a volume vol-data-ws1 fail=busy
run openstack dr failover prod-web-db --wait
operation="$(last_operation prod-web-db)"
run openstack dr operation show "$operation"
operation_is "$operation" completed "delete_source_volume:vol-data-ws1"
witness arrived "$BEFORE" || fail "the copies on site-b differ from the originals"
witness left "$BEFORE" vol-data-ws1 || fail "on site-a there should be vol-data-ws1 and nothing else of the group"

say "The failover stands. The back end is mended, and the tenant finishes the cleanup"
run testbed fault.py site-a volume vol-data-ws1 clear
run openstack dr operation cleanup "$operation"
run openstack dr operation show "$operation"
operation_is "$operation" completed ""
witness arrived "$BEFORE" || fail "the cleanup touched the copies on site-b"
witness gone "$BEFORE" || fail "something is left on site-a"

say "All of it holds"
