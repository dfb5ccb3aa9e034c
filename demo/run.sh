#!/bin/bash
# The main job, as a tenant sees it: a protection group fails over and cleans up after itself; then once more with one
# volume that Cinder cannot delete at first.
set -euo pipefail
. "$(dirname "$0")/env.sh"
trap '"$DEMO_HERE/demo/down.sh" >/dev/null' EXIT

id_of() { openstack "$@" -f value -c id; }

make_server() { # make_server NAME BOOT_VOLUME [DATA_VOLUME...]
  local name="$1" boot="$2" volume; shift 2
  openstack volume create --type replicated --size 1 --image tiny --bootable "$boot" >/dev/null
  for volume in "$@"; do openstack volume create --type replicated --size 1 "$volume" >/dev/null; done
  openstack server create --flavor small --network demo-net --key-name demo-key --volume "$boot" --wait "$name" >/dev/null
  for volume in "$@"; do openstack server add volume "$name" "$volume" >/dev/null; done
}

protect() { # protect GROUP SERVER...
  local group="$1" server; shift
  run openstack dr protection-group create "$group" --primary-site site-a --secondary-site site-b \
    --volume-type replicated --network-mapping demo-net=demo-net -c name -c status -c current_primary_site
  run openstack dr policy create "$group" --primary-fa-url mock://array-a --secondary-fa-url mock://array-b \
    --rpo-minutes 15 -c rpo_minutes
  for server in "$@"; do run openstack dr member add "$group" "$server" -c name -c status; done
}

# break_deletion VOLUME_ID: Cinder on site-a answers its DELETE with 500 until told otherwise
break_deletion() {
  curl -fsS -o /dev/null -X POST "http://127.0.0.1:${CLOUD_PORT[site-a]}/_admin/clouds/site-a/faults" \
    -H 'Content-Type: application/json' -d "$(printf '{"id": "demo", "match": {"method": "DELETE", "resource": "%s"}, "effect": {"call": {"kind": "status", "status": 500}}}' "$1")"
}

mend_deletion() {
  curl -fsS -o /dev/null -X DELETE "http://127.0.0.1:${CLOUD_PORT[site-a]}/_admin/clouds/site-a/faults/demo"
}

last_operation() { openstack dr operation list --protection-group "$1" --type failover -f value -c ID | head -n 1; }

say "Starting two clouds and a protector on each"
"$DEMO_HERE/demo/up.sh" >/dev/null
run openstack dr site list

say "A tenant's web application on site-a"
make_server web-server-1 vol-boot-ws1 vol-data-ws1
make_server web-server-2 vol-boot-ws2 vol-data-ws2
run openstack server list -c Name -c Status -c Networks
protect prod-web-app web-server-1 web-server-2

say "Failover to site-b"
run openstack dr failover prod-web-app --wait

say "Example 1: everything that the failover left behind on site-a is gone"
run openstack dr operation show "$(last_operation prod-web-app)"
run openstack server list -c Name -c Status
run openstack volume list -c Name -c Status
run openstack --os-cloud site-b server list -c Name -c Status -c Networks

say "Example 2: the same with a volume that Cinder cannot delete"
make_server web-server-1 vol-boot-ws1 vol-data-ws1
make_server db-server vol-boot-db vol-data-db
protect prod-web-db web-server-1 db-server
break_deletion "$(id_of volume show vol-data-ws1)"
run openstack dr failover prod-web-db --wait
operation="$(last_operation prod-web-db)"
run openstack dr operation show "$operation"

say "The failover stands. Cinder is mended, and the tenant finishes the cleanup"
mend_deletion
run openstack dr operation cleanup "$operation"
run openstack dr operation show "$operation" -c status -c steps_failed
run openstack volume list -c Name -c Status
say "Done in ${SECONDS} s"
