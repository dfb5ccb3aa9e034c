#!/usr/bin/env python3
"""outages.py <site> [case...] : take one service away, see what callers see.

Prints Markdown rows; every service is started again by up.sh.
"""
import os
import re
import subprocess
import sys
import time

import requests

from cloud import Cloud

HERE = os.path.dirname(os.path.abspath(__file__))
site = sys.argv[1]
C, ADM = Cloud(site), Cloud(site + '-dr-admin')
IMG, FL = C.image(), C.flavor()


def sh(*a):
    subprocess.run([os.path.join(HERE, a[0])] + list(a[1:]), check=True,
                   stdout=subprocess.DEVNULL)


def short(t):
    t = re.sub(r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}',
               '<id>', t)
    t = re.sub(r'\b[0-9a-f]{32}\b', '<id>', t)
    return t.replace('\n', ' ').replace('|', '\\|')[:300]


def call(what, svc, m, path, body=None, c=C, **k):
    t = time.time()
    r = None
    try:
        r = c.raw(svc, m, path, body, **k)
        out = '**%s** | %s' % (r.status_code, '`%s`' % short(r.text)
                               if r.status_code >= 300 else
                               ('(empty)' if not r.text else '(object)'))
    except requests.RequestException as e:
        out = '%s | `%s`' % (type(e).__name__, short(str(e))[:160])
    print('| %s | %s | %.1f s |' % (what, out, time.time() - t), flush=True)
    return r


def vstate(v):
    r = ADM.raw('volumev3', 'GET', '/volumes/' + v)
    if r.status_code == 404:
        return 'gone'
    return r.json()['volume']['status'] if r.status_code == 200 else (
        'GET %s' % r.status_code)


def sstate(s):
    r = ADM.raw('compute', 'GET', '/servers/' + s)
    if r.status_code == 404:
        return 'gone'
    if r.status_code != 200:
        return 'GET %s' % r.status_code
    x = r.json()['server']
    return '%s/%s%s' % (x['status'], x['OS-EXT-STS:task_state'],
                        ' fault: ' + short(x['fault']['message'])
                        if 'fault' in x else '')


def watch(label, f, arg, stop, limit):
    """Report each change of state until it is one of stop."""
    t, last = time.time(), None
    seen = []
    while time.time() - t < limit:
        s = f(arg)
        if s != last:
            seen.append('%s @%.0fs' % (s, time.time() - t))
            last = s
        if s.split('/')[0] in stop:
            break
        time.sleep(0.5)
    print('| ↳ %s: %s | | | |' % (label, ' → '.join(seen)), flush=True)
    return last


def head(t):
    print('\n#### %s\n\n| call | status | body | took |\n|---|---|---|---|' % t,
          flush=True)


def bfv(v, **k):
    return {'server': dict(name='o-1', flavorRef=FL, networks='none',
                           block_device_mapping_v2=[{
                               'uuid': v, 'source_type': 'volume',
                               'destination_type': 'volume',
                               'boot_index': 0}], **k)}


def new_boot():
    return C.volume('o-boot', imageRef=IMG, volume_type='replicated')['id']


def drop(s=None, v=None):
    if s:
        C.raw('compute', 'DELETE', '/servers/' + s)
        C.gone('compute', '/servers/' + s)
    if v:
        for _ in range(50):
            if C.raw('volumev3', 'DELETE', '/volumes/' + v).status_code != 400:
                break
            time.sleep(0.5)


def keystone():
    head('Keystone down')
    sh('ctl.sh', 'kill', site, 'keystone')
    call('GET servers, token seen before', 'compute', 'GET', '/servers')
    call('GET volumes, token seen before', 'volumev3', 'GET', '/volumes')
    call('GET servers, token not seen before', 'compute', 'GET', '/servers',
         headers={'X-Auth-Token': 'gAAAAABunseen%d' % time.time()})
    call('GET volumes, token not seen before', 'volumev3', 'GET', '/volumes',
         headers={'X-Auth-Token': 'gAAAAABunseen%d' % time.time()})
    call('GET networks, token not seen before', 'network', 'GET', '/networks',
         headers={'X-Auth-Token': 'gAAAAABunseen%d' % time.time()})
    call('DELETE missing server, token seen before', 'compute', 'DELETE',
         '/servers/11111111-2222-4333-8444-555555555555')
    call('POST server from a missing volume', 'compute', 'POST', '/servers',
         bfv('11111111-2222-4333-8444-555555555555'))
    sh('up.sh', site)


def cinder_volume():
    v, old = new_boot(), C.volume('o-old')['id']
    head('cinder-volume down')
    sh('ctl.sh', 'kill', site, 'cinder-volume')
    call('DELETE volume', 'volumev3', 'DELETE', '/volumes/' + old)
    r = call('create volume (service not yet seen as down)', 'volumev3',
             'POST', '/volumes', {'volume': {'size': 1, 'name': 'o-x'}})
    x = r.json()['volume']['id']
    r = call('boot from volume', 'compute', 'POST', '/servers', bfv(v))
    s = r.json()['server']['id']
    watch('server', sstate, s, ('ACTIVE', 'ERROR'), 150)
    r = call('create volume (service seen as down)', 'volumev3', 'POST',
             '/volumes', {'volume': {'size': 1, 'name': 'o-y'}})
    y = r.json()['volume']['id']
    watch('that volume', vstate, y, ('available', 'error'), 20)
    h = ADM.cinder('GET', '/volumes/' + v)['volume']['os-vol-host-attr:host']
    call('manage (service seen as down)', 'volumev3', 'POST',
         '/manageable_volumes', {'volume': {
             'host': h, 'ref': {'source-name': 'q'}}})
    call('list manageable (service seen as down), admin', 'volumev3', 'GET',
         '/manageable_volumes?host=' + h, c=ADM)
    print('| ↳ before restart: DELETEd volume %s, first created %s | | | |' % (
        vstate(old), vstate(x)))
    sh('up.sh', site)
    watch('after restart, DELETEd volume', vstate, old, ('gone',), 60)
    watch('after restart, first created', vstate, x, ('available', 'error'),
          60)
    drop(s)
    for i in (v, x, y):
        drop(v=i)


def nova_compute():
    v = new_boot()
    s = C.server('o-1', v)['id']
    v2 = new_boot()
    s2 = C.server('o-2', v2)['id']
    v3 = new_boot()
    s3 = C.server('o-3', v3)['id']
    head('nova-compute down')
    sh('ctl.sh', 'kill', site, 'nova-compute')
    call('stop (service not yet seen as down)', 'compute', 'POST',
         '/servers/%s/action' % s2, {'os-stop': None})
    call('DELETE server (service not yet seen as down)', 'compute', 'DELETE',
         '/servers/' + s)
    call('DELETE a third server likewise, never repeated', 'compute',
         'DELETE', '/servers/' + s3)
    watch('server', sstate, s, ('gone', 'ERROR'), 75)
    call('DELETE the same server again (service seen as down)', 'compute',
         'DELETE', '/servers/' + s)
    watch('server', sstate, s, ('gone', 'ERROR'), 20)
    watch('its volume', vstate, v, ('available',), 10)
    call('DELETE another server (service seen as down)', 'compute', 'DELETE',
         '/servers/' + s2)
    watch('server', sstate, s2, ('gone', 'ERROR'), 20)
    watch('its volume', vstate, v2, ('available',), 20)
    r = call('boot (service seen as down)', 'compute', 'POST', '/servers',
             bfv(v2))
    x = r.json()['server']['id']
    watch('server', sstate, x, ('ACTIVE', 'ERROR'), 60)
    print('| ↳ before restart: third server %s | | | |' % sstate(s3))
    sh('up.sh', site)
    watch('after restart, third server', sstate, s3, ('gone', 'ERROR'), 60)
    watch('its volume', vstate, v3, ('available',), 20)
    drop(x)
    for i in (v, v2, v3):
        drop(v=i)


def cinder_api():
    v = new_boot()
    s = C.server('o-1', v)['id']
    v2 = new_boot()
    head('cinder-api down')
    sh('ctl.sh', 'kill', site, 'cinder-api')
    call('GET volumes', 'volumev3', 'GET', '/volumes')
    call('boot from volume', 'compute', 'POST', '/servers', bfv(v2))
    call('DELETE server that has a volume', 'compute', 'DELETE',
         '/servers/' + s)
    watch('server', sstate, s, ('gone', 'ERROR'), 60)
    sh('up.sh', site)
    print('| ↳ after restart: server %s, its volume %s | | | |' % (
        sstate(s), vstate(v)))
    if sstate(s) != 'gone':
        call('DELETE server again', 'compute', 'DELETE', '/servers/' + s)
        C.gone('compute', '/servers/' + s)
    time.sleep(2)
    if vstate(v) != 'available':
        print('| ↳ volume left %s; attachments %s | | | |' % (
            vstate(v), len(ADM.cinder('GET', '/attachments?volume_id=' + v)[
                'attachments'])))
        for a in ADM.cinder('GET', '/attachments?volume_id=' + v)[
                'attachments']:
            r = call('DELETE its attachment, member', 'volumev3', 'DELETE',
                     '/attachments/' + a['id'])
            if r is None or r.status_code >= 300:
                call('DELETE its attachment, admin', 'volumev3', 'DELETE',
                     '/attachments/' + a['id'], c=ADM)
        print('| ↳ volume now %s | | | |' % vstate(v))
    drop(v=v)
    drop(v=v2)


def neutron():
    v = new_boot()
    n = C.neutron('POST', '/networks', {'network': {'name': 'o'}})['network'][
        'id']
    C.neutron('POST', '/subnets', {'subnet': {
        'network_id': n, 'ip_version': 4, 'cidr': '10.6.0.0/24'}})
    s = C.server('o-1', v, network=n)['id']
    v2 = new_boot()
    head('neutron down')
    sh('ctl.sh', 'kill', site, 'neutron')
    call('GET networks', 'network', 'GET', '/networks')
    b = bfv(v2)
    b['server']['networks'] = [{'uuid': n}]
    call('boot with a network', 'compute', 'POST', '/servers', b)
    call('GET a server', 'compute', 'GET', '/servers/' + s)
    call('DELETE server', 'compute', 'DELETE', '/servers/' + s)
    watch('server', sstate, s, ('gone', 'ERROR'), 60)
    sh('up.sh', site)
    watch('after restart, server', sstate, s, ('gone', 'ERROR'), 60)
    print('| ↳ its volume %s | | | |' % vstate(v))
    if sstate(s) != 'gone':
        call('DELETE server again', 'compute', 'DELETE', '/servers/' + s)
        C.gone('compute', '/servers/' + s)
    time.sleep(2)
    left = C.neutron('GET', '/ports?network_id=' + n)['ports']
    print('| ↳ volume %s; ports Nova made and left: %s | | | |' % (
        vstate(v), [(p['device_owner'], p['device_id'] == s, p['status'])
                    for p in left]))
    for p in left:
        call('DELETE a left port, member', 'network', 'DELETE',
             '/ports/' + p['id'])
    drop(v=v)
    drop(v=v2)
    for p in C.neutron('GET', '/ports?network_id=' + n)['ports']:
        ADM.raw('network', 'DELETE', '/ports/' + p['id'])
    C.raw('network', 'DELETE', '/networks/' + n)


def glance():
    head('glance down')
    sh('ctl.sh', 'kill', site, 'glance')
    call('create volume from image', 'volumev3', 'POST', '/volumes',
         {'volume': {'size': 1, 'imageRef': IMG, 'name': 'o-g'}})
    sh('up.sh', site)


def placement():
    v = new_boot()
    head('placement down')
    sh('ctl.sh', 'kill', site, 'placement')
    r = call('boot', 'compute', 'POST', '/servers', bfv(v))
    s = r.json()['server']['id']
    watch('server', sstate, s, ('ACTIVE', 'ERROR'), 60)
    sh('up.sh', site)
    drop(s, v)


def rabbitmq():
    v, v2 = new_boot(), new_boot()
    s = C.server('o-1', v2)['id']
    head('RabbitMQ down (calls cut off after 100 s)')
    sh('ctl.sh', 'kill', site, 'rabbitmq')
    old = requests.Session.request
    requests.Session.request = lambda self, *a, **k: old(
        self, *a, **dict(k, timeout=100))
    call('GET servers', 'compute', 'GET', '/servers')
    call('create volume', 'volumev3', 'POST', '/volumes',
         {'volume': {'size': 1, 'name': 'o-r'}})
    call('boot', 'compute', 'POST', '/servers', bfv(v))
    call('DELETE server', 'compute', 'DELETE', '/servers/' + s)
    call('GET servers', 'compute', 'GET', '/servers')
    requests.Session.request = old
    sh('up.sh', site)
    time.sleep(10)
    out = []
    for x in ADM.nova('GET', '/servers/detail')['servers']:
        if x['name'].startswith('o-'):
            watch('after restart, server', sstate, x['id'],
                  ('ACTIVE', 'ERROR', 'gone'), 90)
            out.append(x['id'])
    for x in ADM.cinder('GET', '/volumes/detail')['volumes']:
        if x['name'] == 'o-r':
            watch('after restart, volume', vstate, x['id'],
                  ('available', 'error'), 60)
            drop(v=x['id'])
    for x in out:
        drop(x)
    drop(v=v)
    drop(v=v2)


def mysql():
    head('MariaDB down')
    sh('ctl.sh', 'kill', site, 'mysql')
    call('GET servers', 'compute', 'GET', '/servers')
    call('GET volumes', 'volumev3', 'GET', '/volumes')
    call('GET networks', 'network', 'GET', '/networks')
    call('GET images', 'image', 'GET', '/v2/images')
    t = time.time()
    try:
        C.auth()
        print('| token issue | ok | | |')
    except Exception as e:  # noqa
        print('| token issue | %s | | %.1f s |' % (short(str(e)),
                                                   time.time() - t))
    sh('up.sh', site)
    C.auth()
    call('after restart: GET servers', 'compute', 'GET', '/servers')
    call('after restart: GET volumes', 'volumev3', 'GET', '/volumes')
    call('after restart: GET networks', 'network', 'GET', '/networks')


CASES = [keystone, glance, placement, cinder_api, neutron, cinder_volume,
         nova_compute, mysql, rabbitmq]
for f in CASES:
    if len(sys.argv) == 2 or f.__name__ in sys.argv[2:]:
        f()
