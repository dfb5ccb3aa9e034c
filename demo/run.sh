#!/bin/bash
# What the manual promises, as two tenants see it: a failover that cleans up after itself (Example 1), one whose volume Cinder
# cannot delete (2), one whose volumes are retained (3), and a test failover (4). Example 2 needs a minute until the engine
# gives the volume up, so it begins first and ends last.
set -euo pipefail
. "$(dirname "$0")/env.sh"
trap '"$DEMO_HERE/demo/down.sh" >/dev/null' EXIT
# The least that is allowed; the manual's deployment waits for 300 s.
export DEMO_ENGINE_OPTIONS="cleanup_timeout_seconds = 60"

as_tenant() { export OS_CLOUD="site-a$1" OS_SECONDARY_CLOUD="site-b$1"; }
id_of() { openstack "$@" -f value -c id; }

make_server() { # make_server NETWORK NAME BOOT_VOLUME [DATA_VOLUME...]
  local network="$1" name="$2" boot="$3" volume; shift 3
  openstack volume create --type replicated --size 1 --image tiny --bootable "$boot" >/dev/null
  for volume in "$@"; do openstack volume create --type replicated --size 1 "$volume" >/dev/null; done
  openstack server create --flavor small --network "$network" --volume "$boot" --wait "$name" >/dev/null
  for volume in "$@"; do openstack server add volume "$name" "$volume" >/dev/null; done
}

protect() { # protect GROUP NETWORK SERVER...
  local group="$1" network="$2" server; shift 2
  run openstack dr protection-group create "$group" --primary-site site-a --secondary-site site-b \
    --volume-type replicated --network-mapping "$network=$network" -c name -c status -c current_primary_site
  openstack dr policy create "$group" --primary-fa-url mock://array-a --secondary-fa-url mock://array-b \
    --rpo-minutes 15 >/dev/null
  for server in "$@"; do run openstack dr member add "$group" "$server" -f value -c status; done
}

# silence_deletion VOLUME_ID: Cinder on site-a does not answer its DELETE until told otherwise
silence_deletion() {
  curl -fsS -o /dev/null -X POST "http://127.0.0.1:${CLOUD_PORT[site-a]}/_admin/clouds/site-a/faults" \
    -H 'Content-Type: application/json' -d "$(printf '{"id": "demo", "match": {"service": "volume", "method": "DELETE", "resource": "%s"}, "effect": {"call": {"kind": "hang"}}}' "$1")"
}

mend_deletion() {
  curl -fsS -o /dev/null -X DELETE "http://127.0.0.1:${CLOUD_PORT[site-a]}/_admin/clouds/site-a/faults/demo"
}

# keep FILE: shows what comes in, and keeps it
keep() { tee "$DEMO_DIR/$1"; }

kept_id() { grep -oE 'op-[0-9a-f-]{36}' "$DEMO_DIR/$1" | head -n 1; } # kept_id FILE: the operation in it

ended() { # ended OPERATION: wait until it is completed or failed
  until openstack dr operation show "$1" -f value -c status | grep -qE 'completed|failed'; do sleep 1; done
}

say "Starting two clouds and a protector on each"
"$DEMO_HERE/demo/up.sh" >/dev/null
run openstack dr site list

say "Two tenants' applications on site-a"
(as_tenant -other; make_server other-net web-server-1 vol-boot-ws1 vol-data-ws1) &
(as_tenant -other; make_server other-net db-server vol-boot-db vol-data-db) &
(make_server demo-net web-server-1 vol-boot-ws1 vol-data-ws1) &
(make_server demo-net web-server-2 vol-boot-ws2 vol-data-ws2) &
(openstack --os-cloud site-b network create test-net >/dev/null
 openstack --os-cloud site-b subnet create --network test-net --subnet-range 192.168.100.0/24 test-subnet >/dev/null) &
wait

say "Example 2 begins: the other tenant fails over, and Cinder on site-a does not answer when it is asked to delete vol-data-ws1"
as_tenant -other
protect prod-web-db other-net web-server-1 db-server
silence_deletion "$(id_of volume show vol-data-ws1)"
run openstack dr failover prod-web-db | keep second
second="$(kept_id second)"
as_tenant ""

say "Example 4: meanwhile the first tenant rehearses its failover, on a network of its own"
protect prod-web-app demo-net web-server-1 web-server-2
openstack protector protection-group action prod-web-app --action sync --wait >/dev/null 2>&1
run openstack protector protection-group action prod-web-app --action test-failover --network-mapping demo-net=test-net --wait | keep test
test="$(kept_id test)"
run openstack --os-cloud site-b server list -c Name -c Status -c Networks
run openstack server list -c Name -c Status -c Networks
run openstack protector protection-group action prod-web-app --action test-cleanup --test-operation-id "$test" | keep test-cleanup
ended "$(sed 1d "$DEMO_DIR/test-cleanup" | grep -oE 'op-[0-9a-f-]{36}')"
run openstack dr operation show "$test" -c operation_type -c status -c progress
run openstack --os-cloud site-b server list -c Name -c Status

say "Example 1: the real one. Everything that the failover leaves behind on site-a is gone"
run openstack dr failover prod-web-app --wait | keep first
run openstack dr operation show "$(kept_id first)"
run openstack server list -c Name -c Status
run openstack volume list -c Name -c Status
run openstack --os-cloud site-b server list -c Name -c Status -c Networks

say "Example 3: a failover that retains the source volumes"
make_server demo-net web-server-1 vol-boot-ws1 vol-data-ws1 &
make_server demo-net web-server-2 vol-boot-ws2 vol-data-ws2 &
make_server demo-net db-server vol-boot-db vol-data-db vol-log-db &
wait
protect prod-erp demo-net web-server-1 web-server-2 db-server
run openstack dr failover prod-erp --retain-source-volumes --wait | keep third
run openstack volume list -c Name -c Status
say "Nobody needs them any more"
run openstack dr operation cleanup "$(kept_id third)"

say "Example 2 ends: the failover stands, and the record says what is left"
as_tenant -other
ended "$second"
run openstack dr operation show "$second"
run openstack dr orphan list
run openstack dr operation cleanup "$second" --dry-run
say "Cinder is well again, and the tenant finishes the cleanup"
mend_deletion
run openstack dr operation cleanup "$second"
run openstack dr operation show "$second" -c status -c steps_failed
run openstack volume list -c Name -c Status
say "Done in ${SECONDS} s"
