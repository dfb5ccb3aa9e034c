#!/bin/bash
# install.sh : everything the test bed needs on a bare Debian 12: packages for the infrastructure,
# one virtual environment for OpenStack itself. Repeatable; a second run takes a few seconds.
set -euo pipefail
. "$(dirname "$0")/env.sh"

# open-iscsi is never run: os-brick looks for /sbin/iscsiadm, and without it Nova cannot attach a
# managed volume (README.md, "What a client must know", 2). uWSGI comes as a wheel, so no compiler.
APT="mariadb-server mariadb-client open-iscsi rabbitmq-server memcached qemu-utils python3-venv curl jq"
[ "$TESTBED_BACKEND" != rbd ] || "$TESTBED_HERE/../ceph/install.sh"
SUDO=""; [ "$(id -u)" = 0 ] || SUDO=sudo

need=""
for p in $APT; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || need="$need $p"
done
if [ -n "$need" ]; then
  # The packages must not start their own daemons: the test bed starts its own instances.
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
fi

mkdir -p "$TESTBED_BASE"
[ -x "$TESTBED_VENV/bin/python" ] || nice "$TESTBED_PYTHON" -m venv "$TESTBED_VENV"
# uv installs the 187 packages in seconds where pip needs most of a minute.
nice "$TESTBED_VENV/bin/pip" install -q --disable-pip-version-check uv
# uv does not read pip's configuration: a mirror or a private certificate authority is handed over.
index="$("$TESTBED_VENV/bin/pip" config get global.index-url 2>/dev/null || true)"
index="${PIP_INDEX_URL:-$index}"
[ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
[ -z "${PIP_CERT:-}" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
uv() { nice "$TESTBED_VENV/bin/uv" "$@" --native-tls --quiet --python "$TESTBED_VENV/bin/python"; }
uv pip install -r "$TESTBED_HERE/requirements.txt" -c "$TESTBED_HERE/constraints.txt" setuptools wheel
# A build leaves files beside its sources, so it gets a copy of them.
rm -rf "$TESTBED_BASE/plugins-src"; cp -r "$TESTBED_HERE/plugins" "$TESTBED_BASE/plugins-src"
uv pip install --no-deps --no-build-isolation --reinstall "$TESTBED_BASE/plugins-src"

packages="$("$TESTBED_VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
# Nova loads compute drivers only from its own package.
cp "$TESTBED_HERE/plugins/nova_virt_testbed.py" "$packages/nova/virt/testbed.py"
# Byte code once, here: otherwise some twenty processes compile the same modules when they start.
"$TESTBED_VENV/bin/python" -m compileall -q -j 0 "$packages" >/dev/null 2>&1 || true
# Cinder runs "sudo cinder-rootwrap ... qemu-img ...": nothing it does here needs more rights than it
# has, so its sudo is a pass-through that only the test bed's services see.
mkdir -p "$TESTBED_BASE/shim"
printf '#!/bin/sh\nexec "$@"\n' >"$TESTBED_BASE/shim/sudo"; chmod +x "$TESTBED_BASE/shim/sudo"
# Cinder's RBD driver imports rados and rbd, which exist only as Debian extension modules, built for
# Debian's python3.11: just those two are made visible.
if [ "$TESTBED_BACKEND" = rbd ]; then
  for m in rados rbd; do
    ln -sf "$(ls /usr/lib/python3/dist-packages/$m*.so | head -1)" "$packages/"
  done
  "$TESTBED_VENV/bin/python" -c 'import rados, rbd; print("rados", rados.Rados().version())'
fi
echo "installed: $("$TESTBED_VENV/bin/uv" pip list --python "$TESTBED_VENV/bin/python" 2>/dev/null |
  awk '/^(nova|cinder|neutron|keystone|glance|openstack-placement) /{printf "%s%s %s", sep, $1, $2; sep=", "} END{print ""}')"
