#!/bin/bash
# up.sh : start two Ceph clusters of one OSD each that mirror their pools to each other, making them on first use.
# Idempotent: what runs already is left alone, so it also brings a site back whose daemons were killed.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
command -v rbd-mirror >/dev/null || { echo "not installed yet: run $CEPHBED_HERE/install.sh first" >&2; exit 1; }

write_conf() { # SITE
  local dir port; dir="$(site_dir "$1")"; port="$CEPHBED_PORT_A"; [ "$1" = a ] || port="$CEPHBED_PORT_B"
  sed -e "s|\${FSID}|$(cat "$dir/fsid")|" -e "s|\${CEPHBED_ADDR}|$CEPHBED_ADDR|" -e "s|\${PORT}|$port|" -e "s|\${SITE}|$1|" \
    -e "s|\${PORT_MIN}|$((port + 10))|" -e "s|\${PORT_MAX}|$((port + 99))|" -e "s|\${DIR}|$dir|g" \
    -e "s|\${OSD_BYTES}|$((CEPHBED_OSD_GB * 1024 * 1024 * 1024))|" "$CEPHBED_HERE/ceph.conf.template" >"$(conf "$1")"
}

key() { # SITE NAME CAPABILITY...: a new key, known to the monitor
  local keys; keys="$(site_dir "$1")/keyring"
  ceph-authtool --create-keyring "$keys/$2.keyring" --gen-key -n "$2" "${@:3}" >/dev/null
  ceph-authtool "$keys/mon.keyring" --import-keyring "$keys/$2.keyring" >/dev/null
}

create() { # SITE
  local site="$1" dir; dir="$(site_dir "$site")"
  [ ! -e "$dir/.made" ] || { write_conf "$site"; return 0; }
  rm -rf "$dir"; mkdir -p "$dir"/{keyring,run,log,crash,mon,mgr,osd0}; chmod 700 "$dir/keyring"
  uuidgen >"$dir/fsid"; write_conf "$site"
  ceph-authtool --create-keyring "$dir/keyring/mon.keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
  local pools="" p; for p in $CEPHBED_POOLS; do pools="$pools${pools:+, }profile rbd pool=$p"; done
  key "$site" client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
  key "$site" "mgr.$site" --cap mon 'allow profile mgr' --cap osd 'allow *'
  key "$site" osd.0 --cap mon 'allow profile osd' --cap mgr 'allow profile osd' --cap osd 'allow *'
  key "$site" "client.rbd-mirror.$site" --cap mon 'profile rbd-mirror' --cap osd 'profile rbd' --cap mgr 'profile rbd'
  key "$site" client.cinder --cap mon 'profile rbd' --cap osd "$pools" --cap mgr "$pools"
  cp "$dir/keyring/mon.keyring" "$dir/keyring/mon.$site.keyring"
  cp "$dir/keyring/mgr.$site.keyring" "$dir/mgr/keyring"
  local port="$CEPHBED_PORT_A"; [ "$site" = a ] || port="$CEPHBED_PORT_B"
  monmaptool --create --fsid "$(cat "$dir/fsid")" --addv "$site" "[v2:$CEPHBED_ADDR:$port/0]" "$dir/monmap" >/dev/null
  ceph-mon -c "$(conf "$site")" --mkfs --id "$site" --monmap "$dir/monmap" --keyring "$dir/keyring/mon.keyring"
  touch "$dir/.made"
}

osd_is_up() { [ "$(on "$1" ceph osd stat -f json | jq .num_up_osds)" = 1 ]; }
manager_is_up() { [ "$(on "$1" ceph mgr stat -f json | jq .available)" = true ]; }

bring_up() { # SITE: all that concerns it alone
  local site="$1" p; create "$site"
  start "$site" "mon.$site"; wait_for 60 "quorum on $site" on "$site" ceph --connect-timeout 5 quorum_status
  start "$site" "mgr.$site"
  if [ ! -e "$(site_dir "$site")/osd0/ready" ]; then
    local uuid; uuid="$(uuidgen)"; on "$site" ceph osd new "$uuid" 0 >/dev/null
    ceph-osd -c "$(conf "$site")" --id 0 --mkfs --osd-uuid "$uuid" >>"$(site_dir "$site")/log/osd.mkfs.out" 2>&1
  fi
  start "$site" osd.0; wait_for 90 "OSD on $site" osd_is_up "$site"
  for p in $CEPHBED_POOLS; do
    on "$site" ceph osd pool ls | grep -qx "$p" || { on "$site" ceph osd pool create "$p" 8 8 replicated 2>/dev/null; on "$site" rbd pool init "$p"; }
    [ "$(on "$site" rbd mirror pool info "$p" --format json | jq -r .mode)" = image ] \
      || on "$site" rbd mirror pool enable "$p" image --site-name "site-$site"
  done
  wait_for 90 "manager on $site" manager_is_up "$site"
}

returned=""
for site in a b; do
  [ ! -e "$(site_dir "$site")/.made" ] || alive "$site" "mon.$site" >/dev/null || returned=1
done
bring_up a & one=$!; bring_up b & other=$!; wait "$one"; wait "$other"
for p in $CEPHBED_POOLS; do
  if [ "$(on b rbd mirror pool info "$p" --format json | jq '.peers | length')" = 0 ]; then
    token="$CEPHBED_BASE/token"
    (umask 077; on a rbd mirror pool peer bootstrap create --site-name site-a "$p" >"$token")
    on b rbd mirror pool peer bootstrap import --site-name site-b --direction rx-tx "$p" "$token"
    rm -f "$token"
  fi
done
# The rbd-mirror of the side that lived may wait for the other one for ever.
[ -z "$returned" ] || for site in a b; do stop "$site" "rbd-mirror.$site" KILL; done
for site in a b; do start "$site" "rbd-mirror.$site"; done
for site in a b; do echo "site-$site: $(on "$site" ceph health | head -1), $(conf "$site")"; done
