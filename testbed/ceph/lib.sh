# shellcheck shell=bash
# Settings and process handling of the two Ceph clusters; sourced, never run. Everything that is made lives below $CEPHBED_BASE.
CEPHBED_HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export CEPHBED_BASE="${CEPHBED_BASE:-$(cd "$CEPHBED_HERE/../.." && pwd)/.run/ceph}"
export CEPHBED_PORT_A="${CEPHBED_PORT_A:-23300}" CEPHBED_PORT_B="${CEPHBED_PORT_B:-24300}"   # the monitor's; daemons take +10 to +99
export CEPHBED_ADDR="${CEPHBED_ADDR:-127.0.0.1}"
export CEPHBED_POOLS="${CEPHBED_POOLS:-volumes images}"
export CEPHBED_OSD_GB="${CEPHBED_OSD_GB:-8}"       # a sparse file on each site
export CEPHBED_NICE="${CEPHBED_NICE:-10}"
export LC_ALL=C.UTF-8 TZ=UTC
PATH="/usr/bin:/usr/sbin:/bin:/sbin:$PATH"

site_dir() { echo "$CEPHBED_BASE/site-$1"; }
conf() { echo "$CEPHBED_BASE/site-$1/site-$1.conf"; }
pid_file() { echo "$CEPHBED_BASE/site-$1/run/$2.pid"; }   # pid_file a osd.0
daemons() { echo "mon.$1 mgr.$1 osd.0 rbd-mirror.$1"; }
on() { local site="$1"; shift; timeout 60 "$@" -c "$(conf "$site")"; }   # on a rbd ls volumes

# alive SITE DAEMON: print its pid, if the process of the pid file is still the one that we started.
alive() {
  local pid file; file="$(pid_file "$1" "$2")"
  [ -s "$file" ] || return 1
  pid="$(cat "$file")"
  [ -r "/proc/$pid/cmdline" ] || return 1
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$(conf "$1")" || return 1
  echo "$pid"
}

# start SITE DAEMON: daemons go to the background by themselves. rbd-mirror opens connections of its own, and looks for their
# configuration in CEPH_CONF alone.
start() {
  local site="$1" daemon="$2" id="${2#*.}"
  alive "$site" "$daemon" >/dev/null && return 0
  rm -f "$(pid_file "$site" "$daemon")"
  local program="ceph-${daemon%%.*}"
  if [ "${daemon%%.*}" = rbd-mirror ]; then program=rbd-mirror; id="$daemon"; fi
  CEPH_CONF="$(conf "$site")" nice -n "$CEPHBED_NICE" "$program" -c "$(conf "$site")" --id "$id" \
    --pid-file "$(pid_file "$site" "$daemon")" >>"$(site_dir "$site")/log/$daemon.out" 2>&1 </dev/null \
    || { echo "$daemon of site-$site did not start (exit code $?; 28: less than 1 % of the disk is free), see $(site_dir "$site")/log/$daemon.out" >&2; return 1; }
}

# stop SITE DAEMON [SIGNAL]: with SIGKILL after 15 s: rbd-mirror that waits for a dead peer ignores all else.
stop() {
  local pid i; pid="$(alive "$1" "$2")" || return 0
  kill -"${3:-TERM}" "$pid" 2>/dev/null || true
  for i in $(seq 150); do alive "$1" "$2" >/dev/null || break; sleep 0.1; done
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$(pid_file "$1" "$2")"
}

# wait_for SECONDS WHAT COMMAND...
wait_for() {
  local seconds="$1" what="$2" i; shift 2
  for i in $(seq $((seconds * 4))); do "$@" >/dev/null 2>&1 && return 0; sleep 0.25; done
  echo "no $what after $seconds s" >&2
  return 1
}
