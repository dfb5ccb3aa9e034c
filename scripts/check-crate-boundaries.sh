#!/bin/bash
# The arrows between our crates (ARCHITECTURE.md): core depends on none of ours, adapters do not know each other, the
# engine knows only the clouds' client and the core.
set -euo pipefail
cd "$(dirname "$0")/.."

allowed() { # allowed CRATE DEPENDENCY...: fail when CRATE depends on another of our crates
  local crate="protector-$1" found; shift
  found="$(cargo tree --locked -p "$crate" -e normal --depth 1 --prefix none | awk '{print $1}' | grep '^protector-' | grep -vx "$crate" || true)"
  for dependency in $found; do
    case " $* " in *" ${dependency#protector-} "*) ;; *)
      echo "$crate must not depend on $dependency (ARCHITECTURE.md)" >&2; exit 1 ;;
    esac
  done
}

allowed core
allowed oslo
allowed openstack core
allowed array core
allowed store core
allowed engine core openstack
allowed api core oslo store openstack
echo "crate boundaries: as drawn"
