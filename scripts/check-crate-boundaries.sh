#!/bin/bash
# The arrows between our crates (ARCHITECTURE.md): core depends on none of ours, adapters do not know each other, the
# engine knows only the clouds' client and the core. Tests may know more: only what is shipped is asked about.
set -euo pipefail
cd "$(dirname "$0")/.."

# Our crates that no line below has spoken of yet, so that a new crate cannot go unchecked.
undrawn="$(cargo tree --locked --workspace --depth 0 --prefix none | awk 'NF {print $1}' | sort -u)"

allowed() { # allowed CRATE DEPENDENCY...: fail when CRATE depends on another of our crates
  local crate="protector-$1" found; shift
  found="$(cargo tree --locked -p "$crate" -e normal --depth 1 --prefix none | awk '{print $1}' | grep '^protector-' | grep -vx "$crate" || true)"
  [ -z "$undrawn" ] || undrawn="$(grep -vx "$crate" <<<"$undrawn" || true)"
  for dependency in $found; do
    case " $* " in *" ${dependency#protector-} "*) ;; *)
      echo "$crate must not depend on $dependency (ARCHITECTURE.md)" >&2; exit 1 ;;
    esac
  done
}

allowed core
allowed file
allowed fuzz
allowed oslo file
allowed openstack core file
allowed array core
allowed mock-array core
allowed ceph-rbd core
allowed store core file
allowed engine core openstack
allowed wire core store
allowed clouds core openstack store
allowed peer core openstack store clouds wire
allowed reconcilers core openstack store clouds peer engine
allowed service file oslo
allowed api core openstack oslo store clouds peer service wire
allowed simcloud core openstack service
allowed walker core engine openstack simcloud
# The programs put everything together, and nothing depends on them.
undrawn="$(grep -vx protector <<<"$undrawn" || true)"
if [ -n "$undrawn" ]; then echo "no arrows are drawn here for: $undrawn" >&2; exit 1; fi
if cargo tree --locked --workspace -e all -i protector --depth 1 --prefix none 2>/dev/null | grep '^protector-'; then
  echo "no crate may depend on the programs (ARCHITECTURE.md)" >&2; exit 1
fi

# What reaches the world has its rooms: SQL and HTTP. Randomness is a port: see clippy.toml.
only() { # only LIBRARY CRATE...: fail when another of our crates uses LIBRARY
  local library="$1" found; shift
  found="$(cargo tree --locked --workspace -e normal -i "$library" --depth 1 --prefix none 2>/dev/null | awk '{print $1}' | grep -E '^protector(-|$)' | sort -u || true)"
  [ -n "$found" ] || { echo "nobody uses $library: take it out of $0" >&2; exit 1; }
  for crate in $found; do
    case " $* " in *" ${crate#protector-} "*) ;; *)
      echo "$crate must not use $library (ARCHITECTURE.md)" >&2; exit 1 ;;
    esac
  done
}

only sea-orm mock-array store
only sqlx store
only reqwest openstack protector
only hyper service
only axum api protector service simcloud
echo "crate boundaries: as drawn"
