#!/bin/bash
# Requests made up from the OpenAPI document, sent to a protector on simulated clouds: no answer may be a 500, have a status
# that is not in the document, or a body outside its schema. As a tenant, as an administrator, and as the other site's
# service user, each on the calls that are theirs.
#
#   EXAMPLES=50 SEED=7 scripts/schemathesis.sh     more requests for each call; the same ones again
#
# It starts the demo's services on ports and in a directory of its own, and stops them at its end.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
run_dir="${SCHEMATHESIS_DIR:-$root/.run/schemathesis}"
venv="${SCHEMATHESIS_VENV:-$run_dir/venv}"
seed="${SEED:-$RANDOM}"
examples="${EXAMPLES:-25}"

export DEMO_DIR="$run_dir/demo"
export DEMO_CLOUD_PORT_A="${DEMO_CLOUD_PORT_A:-15300}" DEMO_CLOUD_PORT_B="${DEMO_CLOUD_PORT_B:-25300}"
export DEMO_API_PORT_A="${DEMO_API_PORT_A:-15388}" DEMO_API_PORT_B="${DEMO_API_PORT_B:-25388}"
. "$root/demo/env.sh"

mkdir -p "$run_dir"
if [ ! -x "$venv/bin/schemathesis" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q 'schemathesis>=4.32,<5'
fi

trap '"$root/demo/down.sh" >/dev/null' EXIT
"$root/demo/up.sh" >/dev/null
api="http://127.0.0.1:${API_PORT[site-a]}"

token() { openstack --os-cloud "$1" token issue -f value -c id; }
project() { openstack --os-cloud "$1" token issue -f value -c project_id; }

# The other site's service user, as the metadata calls expect it.
cat >>"$DEMO_DIR/clouds.yaml" <<YAML
  site-a-service:
    auth: {auth_url: "http://127.0.0.1:${CLOUD_PORT[site-a]}/identity/v3", username: protector, password: protector,
           project_name: service, user_domain_name: Default, project_domain_name: Default}
    region_name: site-a
    identity_api_version: 3
YAML

# Something for the requests to meet: a server with a volume in a group, a group without anything, an operation.
openstack volume create --type replicated --size 1 --image tiny --bootable vol-boot >/dev/null
openstack server create --flavor small --network demo-net --volume vol-boot --wait web-server-1 >/dev/null
for group in web bare; do
  openstack dr protection-group create "$group" --primary-site site-a --secondary-site site-b \
    --volume-type replicated --network-mapping demo-net=demo-net >/dev/null
done
openstack dr policy create web --primary-fa-url mock://array-a --secondary-fa-url mock://array-b --rpo-minutes 15 >/dev/null
openstack dr member add web web-server-1 >/dev/null
openstack protector protection-group action web --action sync --wait >/dev/null 2>&1
member="$(openstack dr protection-group member list web -f value -c ID | head -n 1)"
operation="$(openstack dr operation list -f value -c ID | head -n 1)"
group="$(openstack dr protection-group show web -f value -c id)"
server="$(openstack server show web-server-1 -f value -c id)"
mapping="$(openstack --os-cloud site-a-admin dr tenant mapping list -f value -c ID | head -n 1)"
# A site for administrators to change: what the tenants use must stay reachable.
openstack --os-cloud site-a-admin --secondary-cloud site-b-admin dr site create site-x \
  --auth-url "http://127.0.0.1:${CLOUD_PORT[site-b]}/identity/v3" --username protector --password protector \
  --project-name service >/dev/null

configure() { # configure PROJECT: what requests may say beside what the document lets them
  cat <<TOML
[dictionaries]
project = { values = ["$1"] }
group = { values = ["web", "$group", "bare"] }
member = { values = ["web-server-1", "$member"] }
operation = { values = ["$operation"] }
server = { values = ["$server"] }
mapping = { values = ["$mapping"] }
site = { values = ["site-x"] }
sites = { values = ["site-a", "site-b"] }
volume_type = { values = ["replicated"] }
version = { values = ["protector 1.0", "protector 1.1", "protector latest"] }

[parameters]
"path.project_id" = { dictionary = "project", probability = 0.95 }
"path.group" = { dictionary = "group", probability = 0.9 }
"path.member" = { dictionary = "member", probability = 0.8 }
"path.operation" = { dictionary = "operation", probability = 0.8 }
"path.mapping" = { dictionary = "mapping", probability = 0.8 }
"path.site" = { dictionary = "site", probability = 0.8 }
"query.protection_group" = { dictionary = "group", probability = 0.5 }
"header.OpenStack-API-Version" = { dictionary = "version", probability = 0.8 }
"body.protection_group.primary_site" = { dictionary = "sites", probability = 0.8 }
"body.protection_group.secondary_site" = { dictionary = "sites", probability = 0.8 }
"body.protection_group.volume_type" = { dictionary = "volume_type", probability = 0.8 }
"body.member.server_id" = { dictionary = "server", probability = 0.5 }

# 503 names something else that does not answer: a site whose address a request has just changed.
[checks]
not_a_server_error = { expected-statuses = ["2xx", "3xx", "4xx", "503"] }
TOML
}

failed=0
attack() { # attack CLOUD PATHS [TENANT]: requests to the paths that match, with a token of a cloud, about a tenant's project
  local cloud="$1" paths="$2" config="$run_dir/$1.toml"
  configure "$(project "${3:-$cloud}")" >"$config"
  "$venv/bin/schemathesis" --no-color --config-file "$config" run "$root/docs/openapi.json" --url "$api" \
    --header "X-Auth-Token: $(token "$cloud")" --include-path-regex "$paths" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
    --phases "${PHASES:-examples,coverage,fuzzing}" --max-examples "$examples" --seed "$seed" --continue-on-failure \
    --generation-database none --suppress-health-check all --warnings off --request-timeout 60 || failed=1
}

echo "seed $seed, up to $examples requests made up for each call"
attack site-a '^/v1/\{project_id\}/(?!.*/metadata)'
attack site-a-service '/metadata' site-a
attack site-a-admin '^(/|/healthcheck|/v1/|/v1/openapi.json|/v1/health|/v1/admin/.*)$'
if grep 'a handler panicked' "$DEMO_DIR"/log/protector-api-*.log; then failed=1; fi
[ "$failed" = 0 ] || echo "Say SEED=$seed to send the same requests again." >&2
exit "$failed"
