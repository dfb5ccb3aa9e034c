# shellcheck shell=bash
# Settings and process handling shared by the scripts of the two-site test bed; sourced, never run.
# Everything that is created lives below $TESTBED_BASE; apart from Debian packages nothing else on
# the machine is touched.
TESTBED_HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export TESTBED_HERE
export TESTBED_BASE="${TESTBED_BASE:-$(cd "$TESTBED_HERE/../.." && pwd)/.run/testbed}"
export TESTBED_VENV="${TESTBED_VENV:-$TESTBED_BASE/venv}"
export TESTBED_PYTHON="${TESTBED_PYTHON:-/usr/bin/python3}"   # any CPython >= 3.11
export TESTBED_ADDR="${TESTBED_ADDR:-127.0.0.1}"
export TESTBED_SITES="${TESTBED_SITES:-site-a:1 site-b:2}"     # name:index (index => port block)
export TESTBED_PASSWORD="${TESTBED_PASSWORD:-testbed}"          # every password in the bed
# Cinder's back end, dir | rbd | fake: what the bed was made with, see up.sh.
export TESTBED_BACKEND="${TESTBED_BACKEND:-$(cat "$TESTBED_BASE/backend" 2>/dev/null || echo dir)}"
export CEPHBED_BASE="${CEPHBED_BASE:-$(cd "$TESTBED_HERE/../.." && pwd)/.run/ceph}"   # the clusters of the rbd back end
export TESTBED_THREADS="${TESTBED_THREADS:-6}"                  # uWSGI threads per API
export TESTBED_NICE="${TESTBED_NICE:-5}"
export TESTBED_CACHE="${TESTBED_CACHE:-$TESTBED_BASE/cache}"   # fresh database schemas, see up.sh

site_names() { local s; for s in $TESTBED_SITES; do echo "${s%%:*}"; done; }
site_index() { local s; for s in $TESTBED_SITES; do [ "${s%%:*}" = "$1" ] && { echo "${s##*:}"; return 0; }; done; return 1; }

# The port of a service is index*10000 + its usual port. Two differ: MariaDB has +3316, as a plain
# 3306 neighbour is the likeliest clash, and Keystone +5357, its other registered port, as the
# demo's simulated clouds sit on 15000 and 25000 and both may run at a time. Indexes 1 and 2 stay
# below the kernel's ephemeral range (32768 and up); higher ones may clash with it.
# site_env <site>: set the variables the templates use
site_env() {
  local idx; idx="$(site_index "$1")" || { echo "unknown site $1 (known: $(site_names | tr '\n' ' '))" >&2; return 1; }
  export SITE="$1" SITE_INDEX="$idx"
  export SITE_DIR="$TESTBED_BASE/$1"
  local p=$((idx * 10000))
  export PORT_KEYSTONE=$((p + 5357)) PORT_NOVA=$((p + 8774)) PORT_PLACEMENT=$((p + 8778)) \
         PORT_GLANCE=$((p + 9292)) PORT_NEUTRON=$((p + 9696)) PORT_CINDER=$((p + 8776)) \
         PORT_MYSQL=$((p + 3316)) PORT_RABBIT=$((p + 5672)) PORT_RABBIT_DIST=$((p + 5682)) \
         PORT_EPMD=$((p + 4369)) PORT_MEMCACHED=$((p + 1211)) PORT_PROTECTOR=$((p + 8788))
  export AUTH_URL="http://$TESTBED_ADDR:$PORT_KEYSTONE/v3"
  export TRANSPORT_URL="rabbit://openstack:$TESTBED_PASSWORD@$TESTBED_ADDR:$PORT_RABBIT/$SITE"
  export DB_URL="mysql+pymysql://openstack:$TESTBED_PASSWORD@$TESTBED_ADDR:$PORT_MYSQL"
  export ETC="$SITE_DIR/etc" LOG="$SITE_DIR/log" RUN="$SITE_DIR/run" STATE="$SITE_DIR/state"
  export BACKEND="$TESTBED_BACKEND" IMAGE_STORE=file
  # A site's Cinder and Glance use the cluster of the site's name; Ceph's client looks for its key where the ceph.conf says.
  [ "$BACKEND" != rbd ] || IMAGE_STORE=rbd
  export TESTBED_CEPH_CONF="$CEPHBED_BASE/$1/$1.conf" TESTBED_CEPH_USER=cinder TESTBED_CEPH_POOL=volumes TESTBED_CEPH_IMAGES=images
  # A file of the site with other values, e.g. of TESTBED_CEPH_*.
  if [ -f "$TESTBED_BASE/$1.env" ]; then set -a; . "$TESTBED_BASE/$1.env"; set +a; fi
}

# alive <name>: is the process whose pid we stored still the one we started?
alive() {
  local f="$RUN/$1.pid" pid; [ -s "$f" ] || return 1
  pid="$(cat "$f")"; kill -0 "$pid" 2>/dev/null || return 1
  # guard against pid reuse: the start time must match what we stored
  [ "$(awk '{print $22}' "/proc/$pid/stat" 2>/dev/null)" = "$(cat "$RUN/$1.start" 2>/dev/null)" ]
}

# spawn <name> <cmd...>: start in its own session, remember pid + start time
spawn() {
  local name="$1"; shift
  alive "$name" && return 0
  mkdir -p "$RUN" "$LOG"
  setsid nice -n "$TESTBED_NICE" "$@" >>"$LOG/$name.out" 2>&1 </dev/null &
  local pid=$!
  echo "$pid" >"$RUN/$name.pid"
  awk '{print $22}' "/proc/$pid/stat" >"$RUN/$name.start"
}

# reap <name> [grace seconds]: TERM, then KILL, the process group we started
reap() {
  local name="$1" grace="${2:-15}" pid i
  alive "$name" || { rm -f "$RUN/$name.pid" "$RUN/$name.start"; return 0; }
  pid="$(cat "$RUN/$name.pid")"
  kill -TERM "$pid" 2>/dev/null || true
  for i in $(seq $((grace * 5))); do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
  kill -KILL -- "-$pid" 2>/dev/null || true   # children that outlived the leader
  rm -f "$RUN/$name.pid" "$RUN/$name.start"
}

# unclaimed <name> <port>: unless our own <name> runs, nobody else may listen there
unclaimed() {
  alive "$1" || ! (exec 3<>"/dev/tcp/$TESTBED_ADDR/$2") 2>/dev/null || {
    echo "$SITE: port $2 ($1) is taken by another program: stop it, or give this site another index in TESTBED_SITES" >&2
    return 1
  }
}

wait_port() { # wait_port <port> <seconds>
  for _ in $(seq $(($2 * 5))); do
    (exec 3<>"/dev/tcp/$TESTBED_ADDR/$1") 2>/dev/null && return 0; sleep 0.2
  done; return 1
}
