#!/bin/bash
# up.sh <site>|all : start one site or all of them side by side, creating them on first use.
# Idempotent: what already runs is left alone.
set -euo pipefail
. "$(dirname "$0")/env.sh"
TARGET="${1:-all}"
B="$TESTBED_VENV/bin"
[ -x "$B/nova-manage" ] || { echo "not installed yet: run $TESTBED_HERE/install.sh first" >&2; exit 1; }

sql() { mariadb --no-defaults --socket="$RUN/mysql.sock" -u "$DB_OS_USER" "$@"; }
python() { "$B/python" "$TESTBED_HERE/$1" "${@:2}"; }

infra_up() {
  spawn memcached memcached -l "$TESTBED_ADDR" -p "$PORT_MEMCACHED" -U 0 -m 64 -u "$DB_OS_USER"
  spawn epmd epmd -address "$TESTBED_ADDR" -port "$PORT_EPMD"
  local rmq; rmq="$(ls -d /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin | tail -1)"
  wait_port "$PORT_EPMD" 10
  # HOME holds the Erlang cookie.
  spawn rabbitmq env HOME="$STATE/rabbitmq" ERL_EPMD_ADDRESS="$TESTBED_ADDR" ERL_EPMD_PORT="$PORT_EPMD" \
    RABBITMQ_NODENAME="$SITE@localhost" RABBITMQ_DIST_PORT="$PORT_RABBIT_DIST" \
    RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE="$ETC/rabbitmq.conf" \
    RABBITMQ_MNESIA_BASE="$STATE/rabbitmq/mnesia" RABBITMQ_LOG_BASE="$LOG/rabbitmq" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$ETC/rabbitmq-plugins" RABBITMQ_PID_FILE="$RUN/rabbitmq.internal.pid" \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none" \
    "$rmq/rabbitmq-server"
  if [ ! -e "$STATE/.mysql-made" ]; then
    # Its own tmpdir: two of these at a time remove each other's temporary tables.
    mariadb-install-db --no-defaults --user="$DB_OS_USER" --datadir="$STATE/mysql" --tmpdir="$STATE/mysql-tmp" \
      --auth-root-authentication-method=socket --auth-root-socket-user="$DB_OS_USER" --skip-test-db \
      >"$LOG/mysql-install.out" 2>&1 || { echo "$SITE: no database made, see $LOG/mysql-install.out" >&2; return 1; }
    touch "$STATE/.mysql-made"
  fi
  spawn mysql mariadbd --defaults-file="$ETC/my.cnf"
  local i
  for i in $(seq 300); do sql -e 'SELECT 1' >/dev/null 2>&1 && break; alive mysql || break; sleep 0.2; done
  sql -e 'SELECT 1' >/dev/null || { echo "$SITE: MariaDB did not start, see $LOG/mysql.err" >&2; return 1; }
}

render_all() {
  python render.py <<EOF
keystone.conf      $ETC/keystone/keystone.conf
nova.conf          $ETC/nova/nova.conf             SVC=nova
nova-policy.yaml   $ETC/nova/policy.yaml
placement.conf     $ETC/placement/placement.conf   SVC=placement
glance-api.conf    $ETC/glance/glance-api.conf     SVC=glance
neutron.conf       $ETC/neutron/neutron.conf       SVC=neutron
ml2_conf.ini       $ETC/neutron/ml2_conf.ini
cinder.conf        $ETC/cinder/cinder.conf         SVC=cinder
rootwrap.conf      $ETC/cinder/rootwrap.conf       SVC=cinder
cinder-policy.yaml $ETC/cinder/policy.yaml
my.cnf             $ETC/my.cnf
rabbitmq.conf      $ETC/rabbitmq.conf
uwsgi.ini $ETC/uwsgi-keystone.ini   SVC=keystone   WSGI_PORT=$PORT_KEYSTONE  WSGI_MODULE=keystone.wsgi.api:application
uwsgi.ini $ETC/uwsgi-nova-api.ini   SVC=nova-api   WSGI_PORT=$PORT_NOVA      WSGI_MODULE=nova.wsgi.osapi_compute:application
uwsgi.ini $ETC/uwsgi-placement.ini  SVC=placement  WSGI_PORT=$PORT_PLACEMENT WSGI_MODULE=placement.wsgi.api:application
uwsgi.ini $ETC/uwsgi-glance.ini     SVC=glance     WSGI_PORT=$PORT_GLANCE    WSGI_MODULE=glance.wsgi.api:application
uwsgi.ini $ETC/uwsgi-neutron.ini    SVC=neutron    WSGI_PORT=$PORT_NEUTRON   WSGI_MODULE=neutron.wsgi.api:application
uwsgi.ini $ETC/uwsgi-cinder-api.ini SVC=cinder-api WSGI_PORT=$PORT_CINDER    WSGI_MODULE=cinder.wsgi.api:application
EOF
  # Nova's WSGI module wants it beside nova.conf.
  cp "$TESTBED_VENV/etc/nova/api-paste.ini" "$ETC/nova/"
  local s; for s in placement glance neutron; do echo '{}' >"$ETC/$s/policy.yaml"; done
  echo '[].' >"$ETC/rabbitmq-plugins"
}

service_env() {
  export OS_KEYSTONE_CONFIG_DIR="$ETC/keystone" OS_NOVA_CONFIG_DIR="$ETC/nova" \
    OS_PLACEMENT_CONFIG_DIR="$ETC/placement" OS_GLANCE_CONFIG_DIR="$ETC/glance" \
    OS_NEUTRON_CONFIG_DIR="$ETC/neutron" OS_NEUTRON_CONFIG_FILES="neutron.conf;ml2_conf.ini"
  export PYTHONWARNINGS=ignore PYTHONUNBUFFERED=1 PATH="$TESTBED_BASE/shim:$B:$PATH"
  unset PYTHONDONTWRITEBYTECODE
}

DATABASES="keystone nova_api nova nova_cell0 placement glance neutron cinder"

migrate() { # the projects' own schema migrations, three lines of them side by side
  local n="nice -n $TESTBED_NICE" pids="" p
  # Nova fills such a template from the configuration of whoever reads it, so the mapping, and with
  # it the whole dump, says nothing about a site.
  local here='{scheme}://{username}:{password}@{hostname}:{port}'
  ( $n "$B/keystone-manage" --config-file "$ETC/keystone/keystone.conf" db_sync
    $n "$B/placement-manage" --config-file "$ETC/placement/placement.conf" db sync
    $n "$B/glance-manage" --config-file "$ETC/glance/glance-api.conf" db_sync
  ) >"$LOG/init-keystone.out" 2>&1 & pids="$pids $!"
  ( $n "$B/neutron-db-manage" --config-file "$ETC/neutron/neutron.conf" --config-file "$ETC/neutron/ml2_conf.ini" upgrade heads
    $n "$B/cinder-manage" --config-file "$ETC/cinder/cinder.conf" db sync
  ) >"$LOG/init-neutron.out" 2>&1 & pids="$pids $!"
  ( local m="$n $B/nova-manage --config-file $ETC/nova/nova.conf"
    $m api_db sync
    $m cell_v2 map_cell0 --database_connection "$here/nova_cell0?{query}"
    $m db sync
    $m cell_v2 create_cell --name cell1 --database_connection "$here/{path}?{query}" --transport-url "$here/{path}"
  ) >"$LOG/init-nova.out" 2>&1 & pids="$pids $!"
  for p in $pids; do wait "$p" || { echo "$SITE: migration failed, see $LOG/init-*.out" >&2; return 1; }; done
}

# Fresh schemas are the same on every site, so only the first site migrates: the others, and the same
# site after a wipe, load what that left. The name of the dump changes with the pinned packages.
schemas() {
  local key dump; key="$({ cat "$TESTBED_HERE"/{constraints,requirements}.txt; declare -f migrate; } | sha256sum | cut -c1-16)"
  dump="$TESTBED_CACHE/schemas-$key.sql"
  mkdir -p "$TESTBED_CACHE"
  for db in $DATABASES; do echo "CREATE DATABASE IF NOT EXISTS $db CHARACTER SET utf8mb3;"; done | sql
  sql -e "CREATE USER IF NOT EXISTS 'openstack'@'%' IDENTIFIED BY '$TESTBED_PASSWORD'; GRANT ALL ON *.* TO 'openstack'@'%'; FLUSH PRIVILEGES"
  exec 9>"$TESTBED_CACHE/lock"; flock 9
  if [ -s "$dump" ]; then
    flock -u 9; exec 9>&-
    { echo 'SET SESSION unique_checks=0, foreign_key_checks=0;'; cat "$dump"; } | sql
    return
  fi
  migrate
  # shellcheck disable=SC2086
  mariadb-dump --no-defaults --socket="$RUN/mysql.sock" -u "$DB_OS_USER" --skip-comments --databases $DATABASES >"$dump.part"
  mv "$dump.part" "$dump"
  flock -u 9; exec 9>&-
}

init_site() {
  schemas
  local k="nice -n $TESTBED_NICE $B/keystone-manage --config-file $ETC/keystone/keystone.conf"
  ( $k fernet_setup --keystone-user "$DB_OS_USER" --keystone-group "$DB_OS_GROUP" & local fernet=$!
    $k credential_setup --keystone-user "$DB_OS_USER" --keystone-group "$DB_OS_GROUP"
    wait $fernet
    $k bootstrap --bootstrap-password "$TESTBED_PASSWORD" --bootstrap-region-id "$SITE" \
      --bootstrap-public-url "$AUTH_URL" --bootstrap-internal-url "$AUTH_URL" --bootstrap-admin-url "$AUTH_URL"
  ) >"$LOG/init-identity.out" 2>&1 || { echo "$SITE: initialisation failed, see $LOG/init-identity.out" >&2; return 1; }
}

api() { spawn "$1" "$B/uwsgi" --ini "$ETC/uwsgi-$1.ini" "${@:2}"; }

ready() { # ready <api> <port>: uWSGI binds first and loads after, so ask for an answer
  for _ in $(seq 600); do
    curl -s -o /dev/null -m 30 "http://$TESTBED_ADDR:$2/" && return 0
    alive "$1" || break
    sleep 0.2
  done
  echo "$SITE: $1 did not start, see $LOG/$1*.out and *.log" >&2; return 1
}

services_up() {
  wait_port "$PORT_RABBIT" 90 && alive rabbitmq || { echo "$SITE: RabbitMQ did not start, see $LOG/rabbitmq*" >&2; return 1; }
  api keystone
  api placement
  api glance
  api neutron --pyargv "--log-file $LOG/neutron-api.log"
  api nova-api --pyargv "--log-file $LOG/nova-api.log"
  api cinder-api --pyargv "--config-file $ETC/cinder/cinder.conf --log-file $LOG/cinder-api.log"
  spawn cinder-scheduler "$B/cinder-scheduler" --config-file "$ETC/cinder/cinder.conf"
  spawn cinder-volume "$B/cinder-volume" --config-file "$ETC/cinder/cinder.conf"
  ready keystone "$PORT_KEYSTONE"
  if [ ! -e "$STATE/.registered" ]; then python bootstrap.py identity; touch "$STATE/.registered"; fi
  # Nova's workers ask Keystone for Placement's address when they start, and give up without it.
  spawn nova-conductor "$B/nova-conductor" --config-file "$ETC/nova/nova.conf"
  spawn nova-scheduler "$B/nova-scheduler" --config-file "$ETC/nova/nova.conf"
  ready placement "$PORT_PLACEMENT"
  spawn nova-compute "$B/nova-compute" --config-file "$ETC/nova/nova.conf"
  ready glance "$PORT_GLANCE"; ready neutron "$PORT_NEUTRON"; ready nova-api "$PORT_NOVA"; ready cinder-api "$PORT_CINDER"
  python bootstrap.py wait
  [ ! -e "$STATE/.discovered" ] || return 0
  "$B/nova-manage" --config-file "$ETC/nova/nova.conf" cell_v2 discover_hosts >"$LOG/discover.out" 2>&1 &
  local discovery=$!
  python bootstrap.py cloud
  wait $discovery || { echo "$SITE: Nova did not find its compute host, see $LOG/discover.out" >&2; return 1; }
  touch "$STATE/.discovered"
}

up() (
  set -euo pipefail
  site_env "$1"
  DB_OS_USER="$(id -un)" DB_OS_GROUP="$(id -gn)"; export DB_OS_USER DB_OS_GROUP
  local t0=$SECONDS claim
  for claim in "mysql $PORT_MYSQL" "rabbitmq $PORT_RABBIT" "epmd $PORT_EPMD" "memcached $PORT_MEMCACHED" \
      "keystone $PORT_KEYSTONE" "placement $PORT_PLACEMENT" "glance $PORT_GLANCE" "neutron $PORT_NEUTRON" \
      "nova-api $PORT_NOVA" "cinder-api $PORT_CINDER"; do
    # shellcheck disable=SC2086
    unclaimed $claim
  done
  mkdir -p "$ETC" "$LOG" "$RUN" "$LOG/rabbitmq" "$STATE"/{mysql,mysql-tmp,rabbitmq,lock,volumes,faults} \
    "$STATE"/keystone/{fernet-keys,credential-keys} "$STATE"/nova "$STATE"/neutron \
    "$STATE"/glance/{images,staging,tasks} "$STATE"/cinder/{conversion,coordination}
  render_all
  service_env
  infra_up
  local t1=$SECONDS
  if [ ! -e "$STATE/.initialised" ]; then init_site; touch "$STATE/.initialised"; fi
  local t2=$SECONDS
  services_up
  echo "$SITE up in $((SECONDS - t0)) s (infrastructure $((t1 - t0)), first-time init $((t2 - t1)), services $((SECONDS - t2))): $AUTH_URL"
)

# Types, images and configuration are made for one back end, so a bed keeps the one that it was made with.
made="$(cat "$TESTBED_BASE/backend" 2>/dev/null || true)"
[ "${made:-$TESTBED_BACKEND}" = "$TESTBED_BACKEND" ] || {
  echo "the bed was made with TESTBED_BACKEND=$made: '$TESTBED_HERE/down.sh all --wipe' first, or another TESTBED_BASE" >&2; exit 1; }
echo "$TESTBED_BACKEND" >"$TESTBED_BASE/backend"
[ "$TESTBED_BACKEND" != rbd ] || "$TESTBED_HERE/../ceph/up.sh"

[ "$TARGET" != all ] || TARGET="$(site_names)"
pids=""
for s in $TARGET; do up "$s" & pids="$pids $!"; done
failed=""
for p in $pids; do wait "$p" || failed=1; done
[ -z "$failed" ] || exit 1
python bootstrap.py clouds
echo "use it:  export OS_CLIENT_CONFIG_FILE=$TESTBED_BASE/clouds.yaml; $B/openstack --os-cloud site-a server list"
