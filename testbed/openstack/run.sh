#!/bin/bash
# run.sh <python script> [args] : run one of the test bed's Python scripts.
set -euo pipefail
. "$(dirname "$0")/env.sh"
exec "$TESTBED_VENV/bin/python" "$TESTBED_HERE/$1" "${@:2}"
