#!/bin/bash
# install.sh : the packages of the two clusters, on Debian 12 (65 MB). Repeatable; a second run takes a second.
set -euo pipefail
APT="ceph-mon ceph-mgr ceph-osd ceph-common rbd-mirror python3-rados python3-rbd jq uuid-runtime"
SUDO=""; [ "$(id -u)" = 0 ] || SUDO=sudo
need=""
for p in $APT; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || need="$need $p"
done
[ -n "$need" ] || exit 0
# The packages must not start their own daemons: the test bed starts its own.
made=""
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' | $SUDO tee /usr/sbin/policy-rc.d >/dev/null
  $SUDO chmod +x /usr/sbin/policy-rc.d; made=1
fi
apt_get() { $SUDO env DEBIAN_FRONTEND=noninteractive nice apt-get -o DPkg::Lock::Timeout=900 -q "$@"; }
apt_get update
# shellcheck disable=SC2086
apt_get install -y --no-install-recommends $need
[ -z "$made" ] || $SUDO rm -f /usr/sbin/policy-rc.d
