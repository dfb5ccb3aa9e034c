#!/bin/bash
# Stops what up.sh started.
set -euo pipefail
. "$(dirname "$0")/env.sh"
for name in protector-engine-site-a protector-engine-site-b protector-api-site-a protector-api-site-b simcloud; do
  stop "$name"
done
echo "The demo is stopped."
