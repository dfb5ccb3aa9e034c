#!/usr/bin/env python3
"""errors.py <site> : provoke the refusals a DR service meets; print a table.

Output: Markdown rows 'what | role | status | body' (ids shortened to <id>).
"""
import os
import re
import sys
import time

from cloud import Cloud

site = sys.argv[1]
C, ADM = Cloud(site), Cloud(site + '-dr-admin')
RD, MG = Cloud(site + '-reader'), Cloud(site + '-manager')
ADMP = Cloud(site + '-admin')       # admin of another project
NO = '11111111-2222-4333-8444-555555555555'
ROWS = []


def short(t):
    t = re.sub(r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}',
               '<id>', t)
    t = re.sub(r'\b[0-9a-f]{32}\b', '<id>', t)
    t = re.sub(r'http://127\.0\.0\.1:\d+', '', t)
    t = t.replace(os.environ['TESTBED_VENV'], '<venv>')
    return t.replace('\n', ' ').replace('|', '\\|')[:420]


def show(what, c, svc, m, path, body=None, extra='', **k):
    r = c.raw(svc, m, path, body, **k)
    txt = short(r.text) if r.status_code >= 300 or len(r.text) < 120 else \
        '(object)'
    ra = r.headers.get('Retry-After')
    row = '| %s | %s | **%s** | %s%s%s |' % (
        what, c.name[len(site) + 1:] or 'member', r.status_code,
        '`%s`' % txt if txt else '(empty)',
        ' Retry-After: %s' % ra if ra else '', extra)
    ROWS.append(row)
    print(row, flush=True)
    return r


def note(text):
    print('| ↳ %s | | | |' % text, flush=True)


def head(t):
    print('\n### %s\n\n| call | role | status | body |\n|---|---|---|---|' % t,
          flush=True)


def state(vid):
    r = ADM.raw('volumev3', 'GET', '/volumes/' + vid)
    return r.json()['volume']['status'] if r.status_code == 200 else (
        'gone' if r.status_code == 404 else 'GET %s' % r.status_code)


def sstate(sid):
    r = ADM.raw('compute', 'GET', '/servers/' + sid)
    if r.status_code != 200:
        return 'gone' if r.status_code == 404 else 'GET %s' % r.status_code
    s = r.json()['server']
    return '%s/%s%s' % (s['status'], s['OS-EXT-STS:task_state'],
                        ' fault=%s' % short(str({
                            k: s['fault'].get(k) for k in ('code', 'message')
                        })) if 'fault' in s else '')


def settle(vid, secs=20):
    for _ in range(secs * 5):
        s = state(vid)
        if s in ('available', 'in-use', 'gone') or 'error' in s:
            return s
        time.sleep(0.2)
    return state(vid)


def cleanup():
    for s in ADM.nova('GET', '/servers/detail')['servers']:
        if not s['name'].startswith('e-'):
            continue
        ADM.action(s['id'], 'unlock')
        if s['metadata'].get('testbed_fail'):
            ADM.action(s['id'], 'os-resetState', {'state': 'active'})
            ADM.nova('POST', '/servers/%s/metadata' % s['id'],
                     {'metadata': {'testbed_fail': 'no'}})
        ADM.nova('DELETE', '/servers/' + s['id'])
        ADM.gone('compute', '/servers/' + s['id'])
    for g in C.cinder('GET', '/groups/detail')['groups']:
        if g['name'] == 'e-g':
            C.cinder('POST', '/groups/%s/action' % g['id'],
                     {'delete': {'delete-volumes': True}})
            C.gone('volumev3', '/groups/' + g['id'])
    for v in C.cinder('GET', '/volumes/detail')['volumes']:
        if (v['name'] or '').startswith('e-') or not v['name']:
            settle(v['id'])
            C.raw('volumev3', 'DELETE', '/volumes/%s?cascade=true' % v['id'])
    for n in C.neutron('GET', '/networks?name=e-net')['networks']:
        for p in C.neutron('GET', '/ports?network_id=' + n['id'])['ports']:
            C.raw('network', 'DELETE', '/ports/' + p['id'])
        C.raw('network', 'DELETE', '/networks/' + n['id'])


# -- fixtures
cleanup()
net = C.neutron('POST', '/networks', {'network': {'name': 'e-net'}})[
    'network']['id']
sub = C.neutron('POST', '/subnets', {'subnet': {
    'network_id': net, 'ip_version': 4, 'cidr': '10.8.0.0/24'}})['subnet'][
    'id']
boot = C.volume('e-boot', imageRef=C.image(), volume_type='replicated')['id']
data = C.volume('e-data', volume_type='replicated')['id']
blank = C.volume('e-blank', volume_type='replicated')['id']
snapv = C.volume('e-snapv', volume_type='replicated')['id']
snap = C.cinder('POST', '/snapshots', {'snapshot': {
    'volume_id': snapv, 'name': 'e-snap'}})['snapshot']['id']
port = C.neutron('POST', '/ports', {'port': {
    'network_id': net, 'fixed_ips': [{'subnet_id': sub,
                                      'ip_address': '10.8.0.9'}]}})['port'][
    'id']
srv = C.server('e-1', boot, [data], port=port)['id']
host = ADM.cinder('GET', '/volumes/' + boot)['volume']['os-vol-host-attr:host']
fl = C.flavor()
time.sleep(1)

head('Authentication and versions')
show('GET servers, no such token', C, 'compute', 'GET', '/servers',
     headers={'X-Auth-Token': 'gAAAAABnonsense'})
show('GET volumes, no such token', C, 'volumev3', 'GET', '/volumes',
     headers={'X-Auth-Token': 'gAAAAABnonsense'})
show('GET networks, no such token', C, 'network', 'GET', '/networks',
     headers={'X-Auth-Token': 'gAAAAABnonsense'})
show('GET servers, microversion 2.999', C, 'compute', 'GET', '/servers',
     mv='2.999')
show('GET volumes, microversion 3.999', C, 'volumev3', 'GET', '/volumes',
     mv='3.999')
bad = dict(C.cfg['auth'])
r = C.s.post(bad['auth_url'] + '/auth/tokens', json={'auth': {'identity': {
    'methods': ['password'], 'password': {'user': {
        'name': 'dr', 'domain': {'name': 'Default'},
        'password': 'wrong'}}}}})
print('| POST /v3/auth/tokens, wrong password | | **%s** | `%s` |' % (
    r.status_code, short(r.text)))
show('GET volumes of a project in the URL that is not the token\'s', C,
     'volumev3', 'GET', '/../' + ADMP.project_id + '/volumes')

head('Cinder: volumes')
show('DELETE in-use volume', C, 'volumev3', 'DELETE', '/volumes/' + data)
show('DELETE in-use volume', ADM, 'volumev3', 'DELETE', '/volumes/' + data)
show('DELETE in-use volume, cascade=true', C, 'volumev3', 'DELETE',
     '/volumes/%s?cascade=true' % data)
show('DELETE in-use volume, force=true (3.23+)', C, 'volumev3', 'DELETE',
     '/volumes/%s?force=true' % data)
show('DELETE in-use volume, force=true (3.23+)', ADM, 'volumev3', 'DELETE',
     '/volumes/%s?force=true' % data)
note('state now: %s' % settle(data))
show('DELETE missing volume', C, 'volumev3', 'DELETE', '/volumes/' + NO)
show('GET missing volume', C, 'volumev3', 'GET', '/volumes/' + NO)
show('DELETE volume', RD, 'volumev3', 'DELETE', '/volumes/' + blank)
other = ADMP.volume('e-other')['id']
show('DELETE volume of another project', C, 'volumev3', 'DELETE',
     '/volumes/' + other)
ADMP.cinder('DELETE', '/volumes/' + other)
show('DELETE volume with a snapshot', C, 'volumev3', 'DELETE',
     '/volumes/' + snapv)
show('os-unmanage volume with a snapshot', C, 'volumev3', 'POST',
     '/volumes/%s/action' % snapv, {'os-unmanage': None})
show('os-unmanage in-use volume', C, 'volumev3', 'POST',
     '/volumes/%s/action' % data, {'os-unmanage': None})
show('os-unmanage missing volume', C, 'volumev3', 'POST',
     '/volumes/%s/action' % NO, {'os-unmanage': None})
show('os-unmanage', RD, 'volumev3', 'POST', '/volumes/%s/action' % blank,
     {'os-unmanage': None})
show('os-force_delete', C, 'volumev3', 'POST', '/volumes/%s/action' % blank,
     {'os-force_delete': None})
show('os-force_delete', MG, 'volumev3', 'POST', '/volumes/%s/action' % blank,
     {'os-force_delete': None})
show('os-force_delete in-use volume', ADM, 'volumev3', 'POST',
     '/volumes/%s/action' % data, {'os-force_delete': None})
note('state now: %s' % settle(data))
show('os-reset_status', C, 'volumev3', 'POST', '/volumes/%s/action' % blank,
     {'os-reset_status': {'status': 'error'}})
show('os-reset_status', MG, 'volumev3', 'POST', '/volumes/%s/action' % blank,
     {'os-reset_status': {'status': 'error'}})
show('os-reset_status to error', ADM, 'volumev3', 'POST',
     '/volumes/%s/action' % blank, {'os-reset_status': {'status': 'error'}})
show('os-reset_status missing volume', ADM, 'volumev3', 'POST',
     '/volumes/%s/action' % NO, {'os-reset_status': {'status': 'error'}})
show('os-reset_status bad value', ADM, 'volumev3', 'POST',
     '/volumes/%s/action' % blank, {'os-reset_status': {'status': 'nope'}})
show('os-force_delete a volume in error', ADM, 'volumev3', 'POST',
     '/volumes/%s/action' % blank, {'os-force_delete': None})
note('state after: %s' % settle(blank))
blank = C.volume('e-blank', volume_type='replicated')['id']
show('DELETE volume, first time', C, 'volumev3', 'DELETE', '/volumes/' + blank)
show('DELETE volume, at once again (deleting)', C, 'volumev3', 'DELETE',
     '/volumes/' + blank)
settle(blank)
show('DELETE volume, after it went', C, 'volumev3', 'DELETE',
     '/volumes/' + blank)
blank = C.volume('e-blank', volume_type='replicated')['id']
ADM.vaction(blank, 'os-reset_status', {'status': 'error'})
show('DELETE volume in status error', C, 'volumev3', 'DELETE',
     '/volumes/' + blank)
settle(blank)
blank = C.volume('e-blank', volume_type='replicated')['id']
show('DELETE volume with a snapshot, cascade=true', C, 'volumev3', 'DELETE',
     '/volumes/%s?cascade=true' % snapv)
note('state after: %s' % settle(snapv))
show('create, no such type', C, 'volumev3', 'POST', '/volumes',
     {'volume': {'size': 1, 'volume_type': 'nope'}})
show('create, no such image', C, 'volumev3', 'POST', '/volumes',
     {'volume': {'size': 1, 'imageRef': NO}})
show('create, size 0', C, 'volumev3', 'POST', '/volumes',
     {'volume': {'size': 0}})
used = ADM.cinder('GET', '/os-quota-sets/%s?usage=true' % C.project_id)[
    'quota_set']['volumes']['in_use']
ADM.cinder('PUT', '/os-quota-sets/' + C.project_id,
           {'quota_set': {'volumes': used}})
show('create, over quota', C, 'volumev3', 'POST', '/volumes',
     {'volume': {'size': 1}})
show('manage, over quota', C, 'volumev3', 'POST', '/manageable_volumes',
     {'volume': {'host': host, 'ref': {'source-name': 'nothing'}}})
ADM.cinder('PUT', '/os-quota-sets/' + C.project_id,
           {'quota_set': {'volumes': -1}})
show('os-services', C, 'volumev3', 'GET', '/os-services')
show('manageable_volumes list', C, 'volumev3', 'GET',
     '/manageable_volumes?host=' + host)
show('scheduler-stats/get_pools', C, 'volumev3', 'GET',
     '/scheduler-stats/get_pools')
show('types/{id}/extra_specs', C, 'volumev3', 'GET', '/types/%s/extra_specs' %
     C.by_name('volumev3', '/types', 'volume_types', 'replicated')['id'])

head('Cinder: a deletion that fails in the back end')
busy = C.volume('e-busy', metadata={'testbed_fail': 'busy'})['id']
show('DELETE volume that the back end calls busy', C, 'volumev3', 'DELETE',
     '/volumes/' + busy)
note('then: %s' % settle(busy))
C.cinder('PUT', '/volumes/%s/metadata' % busy, {'metadata': {}})
show('DELETE it again when it is not busy any more', C, 'volumev3', 'DELETE',
     '/volumes/' + busy)
note('then: %s' % settle(busy))
stuck = C.volume('e-stuck', metadata={'testbed_fail': 'delete'})['id']
show('DELETE volume, the driver raises', C, 'volumev3', 'DELETE',
     '/volumes/' + stuck)
note('then: %s' % settle(stuck))
C.cinder('PUT', '/volumes/%s/metadata' % stuck, {'metadata': {}})
show('DELETE volume in error_deleting', C, 'volumev3', 'DELETE',
     '/volumes/' + stuck)
show('DELETE volume in error_deleting', ADM, 'volumev3', 'DELETE',
     '/volumes/' + stuck)
show('os-unmanage volume in error_deleting', C, 'volumev3', 'POST',
     '/volumes/%s/action' % stuck, {'os-unmanage': None})
show('os-force_delete volume in error_deleting', C, 'volumev3', 'POST',
     '/volumes/%s/action' % stuck, {'os-force_delete': None})
show('os-reset_status of it to available', ADM, 'volumev3', 'POST',
     '/volumes/%s/action' % stuck,
     {'os-reset_status': {'status': 'available'}})
show('DELETE volume after that', C, 'volumev3', 'DELETE', '/volumes/' + stuck)
note('then: %s' % settle(stuck))

head('Cinder: manage')


def manage(what, c=C, **kw):
    b = dict(host=host, ref={'source-name': 'nothing'},
             volume_type='replicated')
    b.update(kw)
    r = show('manage: ' + what, c, 'volumev3', 'POST', '/manageable_volumes',
             {'volume': {k: v for k, v in b.items() if v is not None}})
    if r.status_code == 202:
        v = r.json()['volume']['id']
        note('then the volume goes: %s' % settle(v))
        return v


v = manage('ref does not exist in the backend')
if v:
    show('DELETE volume in error_managing', C, 'volumev3', 'DELETE',
         '/volumes/' + v)
    note('then: %s' % settle(v))
manage('ref is a volume Cinder already manages',
       ref={'source-name': 'volume-' + data})
manage('no such host', host='nohost@dir#dir')
manage('host without pool', host=host.split('#')[0],
       ref={'source-name': 'nothing'})
manage('no ref', ref=None)
manage('ref without source-name', ref={'id': 'x'})
manage('no such volume type', volume_type='nope')
manage('as reader', c=RD)

head('Cinder: groups')
gt = C.by_name('volumev3', '/group_types', 'group_types', 'cg')['id']
gtyp = C.by_name('volumev3', '/types', 'volume_types', 'replicated')['id']
g = C.cinder('POST', '/groups', {'group': {
    'name': 'e-g', 'group_type': gt, 'volume_types': [gtyp]}})['group']['id']
time.sleep(1)
gv = C.volume('e-gv', volume_type='replicated', group_id=g)['id']
plain = C.volume('e-plain', volume_type='plain')['id']
show('DELETE volume that is in a group', C, 'volumev3', 'DELETE',
     '/volumes/' + gv)
show('os-unmanage volume that is in a group', C, 'volumev3', 'POST',
     '/volumes/%s/action' % gv, {'os-unmanage': None})
note('state now: %s' % settle(gv))
show('delete group with volumes, delete-volumes=false', C, 'volumev3', 'POST',
     '/groups/%s/action' % g, {'delete': {'delete-volumes': False}})
show('add a volume of a type the group lacks', C, 'volumev3', 'PUT',
     '/groups/' + g, {'group': {'add_volumes': plain}})
show('add missing volume', C, 'volumev3', 'PUT', '/groups/' + g,
     {'group': {'add_volumes': NO}})
show('remove volume that is not in the group', C, 'volumev3', 'PUT',
     '/groups/' + g, {'group': {'remove_volumes': plain}})
show('update that changes nothing', C, 'volumev3', 'PUT', '/groups/' + g,
     {'group': {}})
show('GET missing group', C, 'volumev3', 'GET', '/groups/' + NO)
show('add an in-use volume', C, 'volumev3', 'PUT', '/groups/' + g,
     {'group': {'add_volumes': data}})
time.sleep(1)
show('enable_replication', C, 'volumev3', 'POST', '/groups/%s/action' % g,
     {'enable_replication': {}})
show('failover_replication', ADM, 'volumev3', 'POST', '/groups/%s/action' % g,
     {'failover_replication': {'allow_attached_volume': False,
                               'secondary_backend_id': 'peer'}})
show('remove the in-use volume', C, 'volumev3', 'PUT', '/groups/' + g,
     {'group': {'remove_volumes': data}})
time.sleep(1)
if state(gv) != 'gone':
    show('remove the other', C, 'volumev3', 'PUT', '/groups/' + g,
         {'group': {'remove_volumes': gv}})
    time.sleep(1)
show('delete the empty group', C, 'volumev3', 'POST', '/groups/%s/action' % g,
     {'delete': {'delete-volumes': False}})

head('Nova: servers')
show('DELETE missing server', C, 'compute', 'DELETE', '/servers/' + NO)
show('GET missing server', C, 'compute', 'GET', '/servers/' + NO)
show('DELETE server', RD, 'compute', 'DELETE', '/servers/' + srv)
show('start a server that is ACTIVE', C, 'compute', 'POST',
     '/servers/%s/action' % srv, {'os-start': None})
show('lock', C, 'compute', 'POST', '/servers/%s/action' % srv, {'lock': None})
show('DELETE locked server, by the member that locked it', C, 'compute',
     'DELETE', '/servers/' + srv)
show('stop locked server', C, 'compute', 'POST', '/servers/%s/action' % srv,
     {'os-stop': None})
show('detach volume of locked server', C, 'compute', 'DELETE',
     '/servers/%s/os-volume_attachments/%s' % (srv, data))
show('unlock by the member that locked it', C, 'compute', 'POST',
     '/servers/%s/action' % srv, {'unlock': None})
# Who holds the lock is the project, not the role: Nova notes 'owner' when the
# locker's project owns the server, 'admin' otherwise.
show('lock by an admin of the same project', ADM, 'compute', 'POST',
     '/servers/%s/action' % srv, {'lock': None})
show('unlock it', C, 'compute', 'POST', '/servers/%s/action' % srv,
     {'unlock': None})
show('lock by an admin of another project', ADMP, 'compute', 'POST',
     '/servers/%s/action' % srv, {'lock': {'locked_reason': 'maintenance'}})
show('DELETE server that admin locked', C, 'compute', 'DELETE',
     '/servers/' + srv)
show('unlock server that admin locked', C, 'compute', 'POST',
     '/servers/%s/action' % srv, {'unlock': None})
r = C.nova('GET', '/servers/' + srv)['server']
note('what the member sees: locked=%s, locked_reason=%s' % (
    r['locked'], r['locked_reason']))
show('stop server that admin locked', ADM, 'compute', 'POST',
     '/servers/%s/action' % srv, {'os-stop': None})
C.wait_server(srv, 'SHUTOFF')
show('start it again', ADM, 'compute', 'POST', '/servers/%s/action' % srv,
     {'os-start': None})
C.wait_server(srv)
show('unlock', ADMP, 'compute', 'POST', '/servers/%s/action' % srv,
     {'unlock': None})
show('os-resetState', C, 'compute', 'POST', '/servers/%s/action' % srv,
     {'os-resetState': {'state': 'error'}})
show('os-resetState', MG, 'compute', 'POST', '/servers/%s/action' % srv,
     {'os-resetState': {'state': 'error'}})
show('detach the root volume of an ACTIVE server', C, 'compute', 'DELETE',
     '/servers/%s/os-volume_attachments/%s' % (srv, boot))
show('detach a volume that is not attached', C, 'compute', 'DELETE',
     '/servers/%s/os-volume_attachments/%s' % (srv, NO))
show('attach an in-use volume', C, 'compute', 'POST',
     '/servers/%s/os-volume_attachments' % srv,
     {'volumeAttachment': {'volumeId': data}})
show('attach a missing volume', C, 'compute', 'POST',
     '/servers/%s/os-volume_attachments' % srv,
     {'volumeAttachment': {'volumeId': NO}})
show('stop', C, 'compute', 'POST', '/servers/%s/action' % srv,
     {'os-stop': None})
show('stop again at once', C, 'compute', 'POST', '/servers/%s/action' % srv,
     {'os-stop': None})
C.wait_server(srv, 'SHUTOFF')
show('stop a stopped server', C, 'compute', 'POST',
     '/servers/%s/action' % srv, {'os-stop': None})
show('os-resetState to error', ADM, 'compute', 'POST',
     '/servers/%s/action' % srv, {'os-resetState': {'state': 'error'}})
show('stop a server in ERROR', C, 'compute', 'POST',
     '/servers/%s/action' % srv, {'os-stop': None})
show('start a server in ERROR', C, 'compute', 'POST',
     '/servers/%s/action' % srv, {'os-start': None})
show('DELETE server in ERROR', C, 'compute', 'DELETE', '/servers/' + srv)
show('DELETE again at once', C, 'compute', 'DELETE', '/servers/' + srv)
C.gone('compute', '/servers/' + srv)
show('DELETE after it went', C, 'compute', 'DELETE', '/servers/' + srv)
note('its volumes: %s, %s; its port (made by us): %s' % (
    settle(boot), settle(data),
    C.raw('network', 'GET', '/ports/' + port).status_code))


def boot_req(**kw):
    b = dict(name='e-x', flavorRef=fl, networks='none',
             block_device_mapping_v2=[{
                 'uuid': kw.pop('vol', boot), 'source_type': 'volume',
                 'destination_type': 'volume', 'boot_index': 0}])
    b.update(kw)
    return {'server': b}


def boot_try(what, c=C, **kw):
    r = show('boot: ' + what, c, 'compute', 'POST', '/servers', boot_req(**kw))
    if r.status_code == 202:
        s = r.json()['server']['id']
        for _ in range(150):
            st = sstate(s)
            if not st.startswith('BUILD'):
                break
            time.sleep(0.2)
        note('then: %s' % st)
        return s


boot_try('missing volume', vol=NO)
boot_try('volume that is not bootable', vol=blank)
boot_try('no such flavor', flavorRef='99')
boot_try('no such port', networks=[{'port': NO}])
boot_try('no such network', networks=[{'uuid': NO}])
boot_try('no such keypair', key_name='nope')
boot_try('no such security group', security_groups=[{'name': 'nope'}],
         networks=[{'uuid': net}])
boot_try('as reader', c=RD)
x = boot_try('no host is big enough', flavorRef=C.flavor('huge'))
show('DELETE server in ERROR that never got a host', C, 'compute', 'DELETE',
     '/servers/' + x)
C.gone('compute', '/servers/' + x)
note('its volume: %s' % settle(boot))
x = boot_try('hypervisor fails in spawn', metadata={'testbed_fail': 'spawn'},
             networks=[{'port': port}])
C.nova('DELETE', '/servers/' + x)
C.gone('compute', '/servers/' + x)
note('its volume: %s' % settle(boot))
srv = boot_try('good one, fixed IP by port', networks=[{'port': port}])
boot_try('volume already in use')
b2 = C.volume('e-boot2', imageRef=C.image(), volume_type='replicated')['id']
boot_try('port already in use', vol=b2, networks=[{'port': port}])
x = boot_try('fixed IP already in use', vol=b2,
             networks=[{'uuid': net, 'fixed_ip': '10.8.0.9'}])
if x:
    C.nova('DELETE', '/servers/' + x)
    C.gone('compute', '/servers/' + x)
    settle(b2)
x = boot_try('fixed IP outside the subnet', vol=b2,
             networks=[{'uuid': net, 'fixed_ip': '10.99.0.9'}])
if x:
    C.nova('DELETE', '/servers/' + x)
    C.gone('compute', '/servers/' + x)
    settle(b2)
ADM.nova('PUT', '/os-quota-sets/' + C.project_id,
         {'quota_set': {'instances': 0, 'force': True}})
boot_try('over quota', vol=b2)
ADM.nova('PUT', '/os-quota-sets/' + C.project_id,
         {'quota_set': {'instances': -1}})
show('forceDelete', C, 'compute', 'POST', '/servers/%s/action' % srv,
     {'forceDelete': None})
C.gone('compute', '/servers/' + srv)
note('after forceDelete its volume: %s' % settle(boot))
x = boot_try('power_off and destroy will fail',
             metadata={'testbed_fail': 'destroy'}, networks=[{'port': port}])
show('DELETE server whose hypervisor refuses', C, 'compute', 'DELETE',
     '/servers/' + x)
time.sleep(4)
note('then: %s; volume %s' % (sstate(x), state(boot)))
show('DELETE it again', C, 'compute', 'DELETE', '/servers/' + x)
time.sleep(3)
note('then: %s' % sstate(x))
show('update metadata of a server in ERROR', C, 'compute', 'POST',
     '/servers/%s/metadata' % x, {'metadata': {'testbed_fail': 'no'}})
show('os-resetState to active', ADM, 'compute', 'POST',
     '/servers/%s/action' % x, {'os-resetState': {'state': 'active'}})
ADM.nova('POST', '/servers/%s/metadata' % x, {'metadata': {'testbed_fail': 'no'}})
show('DELETE it once the cause is gone', C, 'compute', 'DELETE',
     '/servers/' + x)
time.sleep(3)
note('then: %s' % sstate(x))
show('os-services', C, 'compute', 'GET', '/os-services')
show('os-hypervisors', C, 'compute', 'GET', '/os-hypervisors')

head('Neutron')
show('GET missing port', C, 'network', 'GET', '/ports/' + NO)
show('DELETE missing port', C, 'network', 'DELETE', '/ports/' + NO)
srv = boot_try('server for the next rows', networks=[{'port': port}])
show('port with an IP already in use', C, 'network', 'POST', '/ports',
     {'port': {'network_id': net, 'fixed_ips': [{
         'subnet_id': sub, 'ip_address': '10.8.0.9'}]}})
show('port with an IP outside the subnet', C, 'network', 'POST', '/ports',
     {'port': {'network_id': net, 'fixed_ips': [{
         'subnet_id': sub, 'ip_address': '10.99.0.9'}]}})
show('port on a missing network', C, 'network', 'POST', '/ports',
     {'port': {'network_id': NO}})
show('port as reader', RD, 'network', 'POST', '/ports',
     {'port': {'network_id': net}})
show('DELETE network with ports', C, 'network', 'DELETE', '/networks/' + net)
show('DELETE subnet with ports', C, 'network', 'DELETE', '/subnets/' + sub)
sg = C.neutron('GET', '/security-groups?name=default&project_id=' +
               C.project_id)['security_groups'][0]['id']
show('DELETE security group in use', C, 'network', 'DELETE',
     '/security-groups/' + sg)
show('DELETE the port of a running server', C, 'network', 'DELETE',
     '/ports/' + port)

cleanup()
