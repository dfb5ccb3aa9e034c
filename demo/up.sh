#!/bin/bash
# Starts two simulated clouds and a protector on each, registers them with each other, and leaves them running.
set -euo pipefail
. "$(dirname "$0")/env.sh"

"$DEMO_HERE/demo/down.sh" >/dev/null
rm -rf "$DEMO_DIR"
mkdir -p "$DEMO_DIR"

write_clouds_yaml() {
  local site user
  echo "clouds:"
  for site in site-a site-b; do
    for user in demo other admin; do
      local name="$site" project="$user"
      [ "$user" = demo ] || name="$site-$user"
      cat <<YAML
  $name:
    auth: {auth_url: "http://127.0.0.1:${CLOUD_PORT[$site]}/identity/v3", username: $user, password: $user,
           project_name: $project, user_domain_name: Default, project_domain_name: Default}
    region_name: $site
    identity_api_version: 3
YAML
    done
  done
}

write_configuration() { # write_configuration SITE
  local site="$1" dir="$DEMO_DIR/$1"
  mkdir -p "$dir"
  cat >"$dir/protector.conf" <<CONF
[DEFAULT]
site_name = $site
state_path = $dir

[api]
bind_host = 127.0.0.1
bind_port = ${API_PORT[$site]}

[engine]
poll_interval_seconds = 0.2
status_poll_seconds = 0.2
health_check_seconds = 1
${DEMO_ENGINE_OPTIONS:-}

[keystone_authtoken]
auth_url = http://127.0.0.1:${CLOUD_PORT[$site]}/identity/v3
username = protector
password = protector
project_name = service
interface = public

[openstack]
allow_http_sites = true

[oslo_policy]
policy_file = $dir/policy.yaml

[secrets]
key_repository = $dir/keys

[storage]
enabled_arrays = array-a, array-b
mock_catalogue = $DEMO_DIR/mock_storage/catalogue.sqlite

[array-a]
driver = MockStorageDriver
directory = $DEMO_DIR/array-a

[array-b]
driver = MockStorageDriver
directory = $DEMO_DIR/array-b
CONF
}

start_site() { # start_site SITE
  local conf="$DEMO_DIR/$1/protector.conf"
  "$BIN/protector-manage" --config-file "$conf" keys setup
  "$BIN/protector-manage" --config-file "$conf" db sync
  start "protector-api-$1" "$BIN/protector-api" --config-file "$conf"
  start "protector-engine-$1" "$BIN/protector-engine" --config-file "$conf"
}

register() { # what a cloud administrator does once
  local site tenant
  for site in site-a site-b; do
    openstack --os-cloud site-a-admin --secondary-cloud site-b-admin dr site create "$site" \
      --auth-url "http://127.0.0.1:${CLOUD_PORT[$site]}/identity/v3" --region-name "$site" \
      --username protector --password protector --project-name service >/dev/null
  done
  for tenant in "" -other; do
    openstack --os-cloud site-a-admin --secondary-cloud site-b-admin dr tenant mapping create \
      --primary-site site-a --primary-project "$(project_id "site-a$tenant")" \
      --secondary-site site-b --secondary-project "$(project_id "site-b$tenant")" >/dev/null
  done
}

project_id() { openstack --os-cloud "$1" token issue -f value -c project_id; }

mkdir -p "$DEMO_DIR"/{array-a,array-b,mock_storage}
write_clouds_yaml >"$DEMO_DIR/clouds.yaml"
start simcloud "$BIN/protector-simcloud" \
  --cloud "site-a,127.0.0.1:${CLOUD_PORT[site-a]},$DEMO_DIR/array-a" \
  --cloud "site-b,127.0.0.1:${CLOUD_PORT[site-b]},$DEMO_DIR/array-b" \
  --protector "site-a=http://127.0.0.1:${API_PORT[site-a]}" \
  --protector "site-b=http://127.0.0.1:${API_PORT[site-b]}" \
  ${DEMO_SIMCLOUD_OPTIONS:-}
for site in site-a site-b; do answers "http://127.0.0.1:${CLOUD_PORT[$site]}/identity/v3"; done
for site in site-a site-b; do write_configuration "$site"; start_site "$site"; done
for site in site-a site-b; do answers "http://127.0.0.1:${API_PORT[$site]}/healthcheck"; done
register

cat <<TEXT
Two simulated clouds and two protectors are running.

  export OS_CLIENT_CONFIG_FILE=$DEMO_DIR/clouds.yaml OS_CLOUD=site-a OS_SECONDARY_CLOUD=site-b
  export PATH=$(dirname "$OPENSTACK"):\$PATH

  openstack dr site list
  openstack dr protection-group list
  openstack server list
  openstack --os-cloud site-b server list

Logs: $DEMO_DIR/log. Stop everything with: make demo-down
TEXT
