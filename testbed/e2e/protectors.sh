# shellcheck shell=bash
# The two protectors of the story: their configuration, start and end; sourced, never run.

write_configuration() { # write_configuration SITE
  local site="$1" dir="$E2E_DIR/$1"
  mkdir -p "$dir"
  cat >"$dir/protector.conf" <<CONF
[DEFAULT]
site_name = $site
state_path = $dir

[api]
bind_host = 127.0.0.1
bind_port = $(api_port "$site")

[engine]
poll_interval_seconds = 0.2
status_poll_seconds = 0.5
cleanup_timeout_seconds = ${E2E_CLEANUP_SECONDS:-60}
health_check_seconds = ${E2E_HEALTH_CHECK_SECONDS:-2}

[keystone_authtoken]
auth_url = $(auth_url "$site")
username = protector
password = $TESTBED_PASSWORD
project_name = service
region_name = $site
interface = public

[openstack]
allow_http_sites = true

[oslo_policy]
policy_file = $dir/policy.yaml

[secrets]
key_repository = $dir/keys
CONF
  "storage_$TESTBED_BACKEND" >>"$dir/protector.conf"
}

# The two arrays of the back end that the testbed was made with; their names in policies are in moves/group.py.
storage_dir() {
  cat <<CONF

[storage]
enabled_arrays = array-a, array-b
mock_catalogue = $E2E_DIR/mock_storage/catalogue.sqlite

[array-a]
driver = MockStorageDriver
directory = $(volumes_folder site-a)

[array-b]
driver = MockStorageDriver
directory = $(volumes_folder site-b)
CONF
}

storage_rbd() {
  local letter
  printf '\n[storage]\nenabled_arrays = ceph-a, ceph-b\n'
  for letter in a b; do
    cat <<CONF

[ceph-$letter]
driver = CephRbdDriver
rbd_ceph_conf = $CEPHBED_BASE/site-$letter/site-$letter.conf
rbd_user = cinder
rbd_pool = volumes
CONF
  done
}

start() { # start NAME COMMAND...
  local name="$1"; shift
  setsid "$@" >>"$E2E_DIR/log/$name.log" 2>&1 </dev/null &
  echo $! >"$E2E_DIR/pid/$name"
}

start_protectors() {
  local site conf
  mkdir -p "$E2E_DIR"/{log,pid,mock_storage}
  for site in site-a site-b; do
    ! answers "http://127.0.0.1:$(api_port "$site")/healthcheck" ||
      fail "port $(api_port "$site") is taken: another protector runs on the testbed"
    write_configuration "$site"
    conf="$E2E_DIR/$site/protector.conf"
    "$BIN/protector-manage" --config-file "$conf" keys setup
    "$BIN/protector-manage" --config-file "$conf" db sync
    start "protector-api-$site" "$BIN/protector-api" --config-file "$conf"
    start "protector-engine-$site" "$BIN/protector-engine" --config-file "$conf"
  done
  for site in site-a site-b; do wait_for "http://127.0.0.1:$(api_port "$site")/healthcheck"; done
}

# stop_protectors: in order, or by force after 30 s; only processes that this story started
stop_protectors() {
  local file pid name deadline=$((SECONDS + 30))
  for file in "$E2E_DIR"/pid/*; do [ -s "$file" ] && kill -TERM "$(cat "$file")" 2>/dev/null; done
  for file in "$E2E_DIR"/pid/*; do
    [ -s "$file" ] || continue
    pid="$(cat "$file")" name="$(basename "$file")"
    while kill -0 "$pid" 2>/dev/null; do
      [ $SECONDS -lt $deadline ] || { echo "$name did not stop, killed" >&2; kill -KILL "$pid" 2>/dev/null; break; }
      sleep 0.1
    done
    rm -f "$file"
  done
}

# What the cloud administrator does once.
register() {
  local site admin=(--os-cloud site-a-admin --secondary-cloud site-b-admin)
  for site in site-a site-b; do
    run openstack "${admin[@]}" dr site create "$site" --auth-url "$(auth_url "$site")" --region-name "$site" \
      --username protector --password "$TESTBED_PASSWORD" --project-name service -c name -c status
  done
  for site in site-a site-b; do run openstack "${admin[@]}" dr site validate "$site"; done
  run openstack "${admin[@]}" dr tenant mapping create \
    --primary-site site-a --primary-project "$(project_id site-a)" \
    --secondary-site site-b --secondary-project "$(project_id site-b)"
}

project_id() { openstack --os-cloud "$1" token issue -f value -c project_id; }
