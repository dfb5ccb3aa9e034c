# shellcheck shell=bash
# Settings and small words of the end-to-end story; sourced, never run.
# Everything it makes lives below $E2E_DIR; the clouds are those of testbed/openstack.
E2E_HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
E2E_ROOT="$(cd "$E2E_HERE/../.." && pwd)"
. "$E2E_ROOT/testbed/openstack/env.sh"
E2E_DIR="${E2E_DIR:-$E2E_ROOT/.run/e2e}"
BIN="${PROTECTOR_BIN:-$E2E_ROOT/target/debug}"
OPENSTACK="${OPENSTACK:-$E2E_ROOT/client/.venv/bin/openstack}"

export OS_CLIENT_CONFIG_FILE="$TESTBED_BASE/clouds.yaml"
export OS_CLOUD=site-a OS_SECONDARY_CLOUD=site-b
export PYTHONWARNINGS=ignore
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1

openstack() { "$OPENSTACK" "$@"; }
testbed() { "$E2E_ROOT/testbed/openstack/run.sh" "$@"; }
witness() { e2e_python "$E2E_HERE/witness.py" "$@"; }
# e2e_python ARGUMENT...: the test bed's Python with its modules and ours
e2e_python() { PYTHONPATH="$TESTBED_HERE:$E2E_HERE" "$TESTBED_VENV/bin/python" "$@"; }

# say TEXT...: the next scene
say() { printf '\n\033[1m%s\033[0m   (%s s)\n' "$*" "$SECONDS"; }

# run COMMAND...: show it as typed, then run it
run() { printf '$ %s\n' "$*"; "$@"; }

# fail TEXT...: the story does not hold
fail() { printf '\n\033[1;31mFAILED:\033[0m %s\nLogs: %s\n' "$*" "$E2E_DIR/log" >&2; exit 1; }

auth_url() { (site_env "$1" && echo "$AUTH_URL"); }
api_port() { (site_env "$1" && echo "$PORT_PROTECTOR"); }
volumes_folder() { (site_env "$1" && echo "$STATE/volumes"); }

answers() { curl -sf -o /dev/null --max-time 5 "$1"; }

# wait_for URL: until it answers, up to 30 s
wait_for() {
  local deadline=$((SECONDS + 30))
  until answers "$1"; do
    [ $SECONDS -lt $deadline ] || fail "$1 does not answer"
    sleep 0.1
  done
}
