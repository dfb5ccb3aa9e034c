"""A minimal OpenStack client for the test bed's own scripts: plain HTTP, nothing hidden."""
import json
import os
import threading
import time

import requests
import yaml

BASE = os.environ['TESTBED_BASE']
CLOUDS = yaml.safe_load(open(os.path.join(BASE, 'clouds.yaml')))['clouds']
# compute 2.96: newest that every deployed release since 2024.1 has
MV = {'compute': '2.96', 'volumev3': '3.71'}


class HTTPError(Exception):
    def __init__(self, r):
        super().__init__('%s %s -> %s %s' % (
            r.request.method, r.request.url, r.status_code, r.text[:300]))
        self.status, self.text = r.status_code, r.text


class Cloud:
    """One user's view of one site, e.g. Cloud('site-a-admin')."""

    def __init__(self, name, cfg=None):
        self.name = name
        self.cfg = cfg or CLOUDS[name]
        self.site = self.cfg['region_name']
        self.local = threading.local()
        self.auth()

    @property
    def s(self):
        if not hasattr(self.local, 's'):
            self.local.s = requests.Session()
            self.local.s.trust_env = False
        return self.local.s

    def auth(self):
        a = self.cfg['auth']
        r = self.s.post(a['auth_url'] + '/auth/tokens', json={'auth': {
            'identity': {'methods': ['password'], 'password': {'user': {
                'name': a['username'], 'domain': {'name': 'Default'},
                'password': a['password']}}},
            'scope': {'project': {'name': a['project_name'],
                                  'domain': {'name': 'Default'}}}}})
        if r.status_code != 201:
            raise HTTPError(r)
        self.token = r.headers['X-Subject-Token']
        body = r.json()['token']
        self.body = body
        self.project_id = body['project']['id']
        self.roles = [x['name'] for x in body['roles']]
        self.cat = {s['type']: [e['url'] for e in s['endpoints']
                                if e['interface'] == 'public'][0]
                    for s in body['catalog']}

    def raw(self, svc, method, path, body=None, mv=None, headers=None):
        h = {'X-Auth-Token': self.token, 'Accept': 'application/json'}
        mv = mv or MV.get(svc)
        if mv:
            h['OpenStack-API-Version'] = '%s %s' % (
                'volume' if svc == 'volumev3' else svc, mv)
        h.update(headers or {})
        url = self.cat[svc]
        if svc == 'network' and not path.startswith('/v2.0'):
            url += '/v2.0'
        return self.s.request(method, url + path, json=body, headers=h,
                              timeout=300)

    def req(self, *a, **k):
        r = self.raw(*a, **k)
        if r.status_code >= 400:
            raise HTTPError(r)
        return r.json() if r.text and 'json' in r.headers.get(
            'content-type', '') else None

    # compute, block storage, network in the fewest words
    def nova(self, m, p, b=None, **k):
        return self.req('compute', m, p, b, **k)

    def cinder(self, m, p, b=None, **k):
        return self.req('volumev3', m, p, b, **k)

    def neutron(self, m, p, b=None, **k):
        return self.req('network', m, p, b, **k)

    def glance(self, m, p, b=None, **k):
        return self.req('image', m, '/v2' + p, b, **k)

    # -- helpers
    def by_name(self, svc, path, key, name):
        for o in self.req(svc, 'GET', path)[key]:
            if o['name'] == name:
                return o
        raise KeyError(name)

    def image(self, name='tiny'):
        return self.by_name('image', '/v2/images', 'images', name)['id']

    def flavor(self, name='tiny'):
        return self.by_name('compute', '/flavors/detail', 'flavors',
                            name)['id']

    def volume(self, name, size=1, wait=True, **kw):
        v = self.cinder('POST', '/volumes', {
            'volume': dict(name=name, size=size, **kw)})['volume']
        return self.wait_volume(v['id']) if wait else v

    def wait_volume(self, vid, want='available', timeout=120, every=0.1):
        end = time.time() + timeout
        while True:
            v = self.cinder('GET', '/volumes/' + vid)['volume']
            if v['status'] == want:
                return v
            if v['status'].startswith('error') and v['status'] != want:
                raise RuntimeError('volume %s is %s' % (vid, v['status']))
            if time.time() > end:
                raise TimeoutError('volume %s still %s, wanted %s' % (
                    vid, v['status'], want))
            time.sleep(every)

    def gone(self, svc, path, timeout=120, every=0.1):
        end = time.time() + timeout
        while self.raw(svc, 'GET', path).status_code != 404:
            if time.time() > end:
                raise TimeoutError('%s still there' % path)
            time.sleep(every)

    def wait_server(self, sid, want='ACTIVE', timeout=180, every=0.1):
        end = time.time() + timeout
        while True:
            s = self.nova('GET', '/servers/' + sid)['server']
            if s['status'] == want and not s['OS-EXT-STS:task_state']:
                return s
            if s['status'] == 'ERROR' and want != 'ERROR':
                raise RuntimeError('server %s: %s' % (
                    sid, json.dumps(s.get('fault'))))
            if time.time() > end:
                raise TimeoutError('server %s still %s, wanted %s' % (
                    sid, s['status'], want))
            time.sleep(every)

    def server(self, name, boot_volume, data_volumes=(), port=None,
               network=None, wait=True, flavor=None, hints=None, **kw):
        bdm = [{'uuid': boot_volume, 'source_type': 'volume',
                'destination_type': 'volume', 'boot_index': 0,
                'delete_on_termination': False}]
        bdm += [{'uuid': v, 'source_type': 'volume',
                 'destination_type': 'volume', 'boot_index': -1,
                 'delete_on_termination': False} for v in data_volumes]
        nets = kw.pop('networks', None) or ([{'port': port}] if port else (
            [{'uuid': network}] if network else 'none'))
        asked = {'server': dict(
            name=name, flavorRef=flavor or self.flavor(),
            block_device_mapping_v2=bdm, networks=nets, **kw)}
        if hints:
            asked['os:scheduler_hints'] = hints
        s = self.nova('POST', '/servers', asked)['server']
        return self.wait_server(s['id']) if wait else s

    def action(self, sid, name, arg=None, **k):
        return self.nova('POST', '/servers/%s/action' % sid, {name: arg}, **k)

    def vaction(self, vid, name, arg=None, **k):
        return self.cinder('POST', '/volumes/%s/action' % vid, {name: arg},
                           **k)
