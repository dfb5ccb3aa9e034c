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
umask 077
if [ ! -x "$venv/bin/schemathesis" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q 'schemathesis>=4.32,<5'
fi

trap '"$root/demo/down.sh" >/dev/null' EXIT
"$root/demo/up.sh" >/dev/null
api="http://127.0.0.1:${API_PORT[site-a]}"

python3 "$root/scripts/schemathesis_fixture.py" "http://127.0.0.1:${CLOUD_PORT[site-a]}/identity/v3" "$api" \
  "$root/docs/openapi.json" >"$run_dir/openapi.json" 2>"$run_dir/tokens"
# 503 names something else that does not answer: a site whose address a request has just changed.
cat >"$run_dir/schemathesis.toml" <<TOML
[checks]
not_a_server_error = { expected-statuses = ["2xx", "3xx", "4xx", "503"] }
TOML

failed=0
attack() { # attack CALLER PATHS: requests to the paths that match, with the caller's token
  local token
  token="$(sed -n "s/^$1 //p" "$run_dir/tokens")"
  cd "$run_dir"  # It keeps a cache in the current directory.
  "$venv/bin/schemathesis" --no-color --config-file schemathesis.toml run openapi.json --url "$api" \
    --header "X-Auth-Token: $token" --include-path-regex "$2" \
    --checks "${CHECKS:-not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance}" \
    --phases "${PHASES:-examples,coverage,fuzzing}" --max-examples "$examples" --seed "$seed" --continue-on-failure \
    --generation-database none --suppress-health-check all --warnings off --request-timeout 60 || failed=1
}

echo "seed $seed, up to $examples requests made up for each call"
attack tenant '^/v1/\{project_id\}/(?!.*/(metadata|copy))'
attack service '/(metadata|copy)'
attack admin '^(/|/healthcheck|/v1/|/v1/openapi.json|/v1/health|/v1/admin/.*)$'
if grep 'a handler panicked' "$DEMO_DIR"/log/protector-api-*.log; then failed=1; fi
[ "$failed" = 0 ] || echo "Say SEED=$seed to send the same requests again." >&2
echo "Answers by status:"
grep -ho 'answered .* status=[0-9]*' "$DEMO_DIR/log/protector-api-site-a.log" | grep -o 'status=[0-9]*' | sort | uniq -c
exit "$failed"
