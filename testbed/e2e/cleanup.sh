#!/bin/bash
# Cleanup on two real OpenStack control planes: resources that must stay, services that are away, a test failover.
# cleanup.sh [--only CASE]... [--list]: exits non-zero when a case does not hold; the clouds are emptied either way.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$E2E_HERE/protectors.sh"
. "$E2E_HERE/stage.sh"
export BIN OPENSTACK E2E_DIR
# From the moment that a copy runs to the source's turn: time for a case to do its part.
export E2E_HEALTH_CHECK_SECONDS="${E2E_HEALTH_CHECK_SECONDS:-20}"

cases() { e2e_python -m cleanup "$@"; }

case " $* " in *" --list "*|*" -h "*|*" --help "*) cases "$@"; exit;; esac

enter
say "Two real clouds, a protector on each, registered by the administrator"
empty_the_stage
start_protectors
register

say "The cases; each has a protection group of its own, and a log in $E2E_DIR/log"
cases "$@"
say "All of it holds"
