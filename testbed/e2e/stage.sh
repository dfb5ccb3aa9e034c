# shellcheck shell=bash
# What an end-to-end story needs before it begins, and how it leaves the clouds; sourced after protectors.sh, never run.

require() {
  local site
  [ -x "$BIN/protector-engine" ] || fail "protector is not built: make build"
  [ -x "$OPENSTACK" ] || fail "the openstack command is missing: make client"
  for site in site-a site-b; do
    answers "$(auth_url "$site")" || fail "Keystone of $site does not answer at $(auth_url "$site"): make testbed-up"
  done
}

# Both tenants empty, no fault left, no replica on the arrays.
empty_the_stage() { testbed seed.py unseed; }

leave() {
  local code=$?
  trap - EXIT
  set +e
  stop_protectors
  if [ -n "${E2E_KEEP:-}" ]; then echo "The clouds are left as they are (E2E_KEEP)." >&2
  else empty_the_stage || { echo "The clouds could not be emptied." >&2; code=1; }; fi
  exit "$code"
}

# A story that was killed in the middle of a disaster leaves a site asleep, and its array's folder aside.
wake() {
  local site
  for site in site-a site-b; do "$TESTBED_HERE/ctl.sh" resume "$site" >/dev/null 2>&1 || true; done
  e2e_python -m moves.disaster site-a site-b
}

# enter: the stage is empty, and nothing is left of an earlier story
enter() {
  wake
  require
  [ ! -e "$E2E_DIR/pid" ] || stop_protectors
  rm -rf "$E2E_DIR"
  mkdir -p "$E2E_DIR/log"
  trap leave EXIT
}
