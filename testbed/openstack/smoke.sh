#!/bin/bash
# smoke.sh [site...] : behaviours 1-9 on the given sites (default: all).
set -euo pipefail
. "$(dirname "$0")/env.sh"
# shellcheck disable=SC2046
exec "$TESTBED_VENV/bin/python" "$TESTBED_HERE/smoke.py" ${@:-$(site_names)}
