#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A planned failover of 100 VMs with 200 volumes between two simulated clouds whose calls take what real ones take.
# Prints the time of each phase against the bound that the latencies and the engine's limits set, and the engine's
# CPU time and memory. Settings: BENCH_VMS, BENCH_DIR, BENCH_ENGINE_OPTIONS (lines for [engine]), PROTECTOR_BIN, DEMO_*_PORT_*.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
vms="${BENCH_VMS:-100}"

export DEMO_DIR="${BENCH_DIR:-$here/.run/bench}"
export DEMO_CLOUD_PORT_A="${DEMO_CLOUD_PORT_A:-17310}" DEMO_CLOUD_PORT_B="${DEMO_CLOUD_PORT_B:-27310}"
export DEMO_API_PORT_A="${DEMO_API_PORT_A:-17318}" DEMO_API_PORT_B="${DEMO_API_PORT_B:-27318}"
export DEMO_SIMCLOUD_OPTIONS="--real-latency --fleet $vms"
# The demo polls faster than a service does: back to the defaults of protector.conf.
export DEMO_ENGINE_OPTIONS="poll_interval_seconds = 1.0
status_poll_seconds = 2.0
health_check_seconds = 5
${BENCH_ENGINE_OPTIONS:-}"

. "$here/demo/env.sh"
# Somebody else's demo on these ports would be measured, and changed, instead of ours.
"$here/demo/down.sh" >/dev/null
for port in "${CLOUD_PORT[@]}" "${API_PORT[@]}"; do
  if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    echo "port $port is in use: set DEMO_CLOUD_PORT_A, DEMO_CLOUD_PORT_B, DEMO_API_PORT_A and DEMO_API_PORT_B" >&2
    exit 1
  fi
done
trap '"$here/demo/down.sh" >/dev/null' EXIT
"$here/demo/up.sh" >/dev/null
PYTHONPATH="$here/client" "$here/client/.venv/bin/python" "$here/benches/failover.py" \
  --vms "$vms" --demo-dir "$DEMO_DIR" --cloud-port "${CLOUD_PORT[site-a]}" \
  --other-cloud-port "${CLOUD_PORT[site-b]}"
