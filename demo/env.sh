# Shared settings of the demo. Everything it makes lives below $DEMO_DIR; nothing else on the machine is touched.
DEMO_HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
DEMO_DIR="${DEMO_DIR:-$DEMO_HERE/.run/demo}"
BIN="${PROTECTOR_BIN:-$DEMO_HERE/target/debug}"
OPENSTACK="$DEMO_HERE/client/.venv/bin/openstack"

# Ports: a cloud and its protector per site.
declare -A CLOUD_PORT=([site-a]="${DEMO_CLOUD_PORT_A:-15100}" [site-b]="${DEMO_CLOUD_PORT_B:-25100}")
declare -A API_PORT=([site-a]="${DEMO_API_PORT_A:-15188}" [site-b]="${DEMO_API_PORT_B:-25188}")

export OS_CLIENT_CONFIG_FILE="$DEMO_DIR/clouds.yaml"
export OS_CLOUD=site-a OS_SECONDARY_CLOUD=site-b
export PYTHONWARNINGS=ignore

openstack() { "$OPENSTACK" "$@"; }

# start NAME COMMAND...: in the background, its output in $DEMO_DIR/log/NAME.log
start() {
  local name="$1"; shift
  mkdir -p "$DEMO_DIR/log" "$DEMO_DIR/pid"
  setsid "$@" >>"$DEMO_DIR/log/$name.log" 2>&1 </dev/null &
  echo $! >"$DEMO_DIR/pid/$name"
}

# stop NAME: in order, or by force after 40 s
stop() {
  local file="$DEMO_DIR/pid/$1" pid deadline=$((SECONDS + 40))
  [ -s "$file" ] || return 0
  pid="$(cat "$file")"
  kill -TERM "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do
    [ $SECONDS -lt $deadline ] || { echo "$1 did not stop, killed" >&2; kill -KILL "$pid" 2>/dev/null || true; break; }
    sleep 0.1
  done
  rm -f "$file"
}

# answers URL: wait until it does, up to 30 s
answers() {
  local deadline=$((SECONDS + 30))
  until curl -sf -o /dev/null "$1"; do
    [ $SECONDS -lt $deadline ] || { echo "$1 does not answer; see $DEMO_DIR/log" >&2; return 1; }
    sleep 0.1
  done
}

# say TEXT...: what the demo does next
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# run COMMAND...: show it as typed, then run it
run() { printf '$ %s\n' "$*"; "$@"; }
