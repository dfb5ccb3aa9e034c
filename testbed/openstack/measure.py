#!/usr/bin/env python3
"""measure.py <site> [single] [bulk N [mixed]] : time single operations, a burst.

mixed: send the volume DELETEs at the same moment as the server DELETEs (a
client that does not wait), and retry while refused.
"""
import collections
import concurrent.futures as cf
import statistics
import sys
import time

from cloud import Cloud, HTTPError


def timed(f, *a, **k):
    t = time.time()
    r = f(*a, **k)
    return time.time() - t, r


def show(name, xs):
    print('%-46s median %6.3f s  min %6.3f  max %6.3f  (n=%d)' % (
        name, statistics.median(xs), min(xs), max(xs), len(xs)), flush=True)


def network(c):
    for n in c.neutron('GET', '/networks?name=measure')['networks']:
        return n['id']
    n = c.neutron('POST', '/networks', {'network': {
        'name': 'measure'}})['network']['id']
    c.neutron('POST', '/subnets', {'subnet': {
        'network_id': n, 'ip_version': 4, 'cidr': '10.9.0.0/22'}})
    return n


def single(c, n=10):
    net, img, fl = network(c), c.image(), c.flavor()
    show('token issue', [timed(c.auth)[0] for _ in range(n)])
    for what, f in (
            ('GET servers/detail (empty-ish)',
             lambda: c.nova('GET', '/servers/detail')),
            ('GET volumes/detail', lambda: c.cinder('GET', '/volumes/detail')),
            ('GET ports', lambda: c.neutron('GET', '/ports')),
            ('GET images', lambda: c.glance('GET', '/images'))):
        show(what, [timed(f)[0] for _ in range(n)])
    t = collections.defaultdict(list)
    for i in range(n):
        d, boot = timed(c.volume, 'm-boot', imageRef=img,
                        volume_type='replicated')
        t['volume create from 16 MiB image'].append(d)
        d, data = timed(c.volume, 'm-data', volume_type='replicated')
        t['volume create blank'].append(d)
        d, s = timed(c.server, 'm', boot['id'], [data['id']], network=net,
                     flavor=fl)
        t['server boot (2 volumes) to ACTIVE'].append(d)

        def stop():
            c.action(s['id'], 'os-stop')
            c.wait_server(s['id'], 'SHUTOFF')

        def start():
            c.action(s['id'], 'os-start')
            c.wait_server(s['id'], 'ACTIVE')

        def sdel():
            c.nova('DELETE', '/servers/' + s['id'])
            c.gone('compute', '/servers/' + s['id'])

        def vdel(v):
            c.cinder('DELETE', '/volumes/' + v)
            c.gone('volumev3', '/volumes/' + v)
        t['server stop to SHUTOFF'].append(timed(stop)[0])
        t['server start to ACTIVE'].append(timed(start)[0])
        t['server delete to 404'].append(timed(sdel)[0])
        t['volumes available after server 404'].append(timed(
            lambda: [c.wait_volume(v['id']) for v in (boot, data)])[0])
        for v in (boot, data):
            t['volume delete to 404'].append(timed(vdel, v['id'])[0])
    for k, xs in t.items():
        show(k, xs)


class Tally:
    """Latency and status of every request of a phase."""

    def __init__(self, c):
        self.c, self.codes, self.lat, self.bad = c, collections.Counter(), [], []

    def __call__(self, svc, m, path, body=None):
        t = time.time()
        try:
            r = self.c.raw(svc, m, path, body)
            code = r.status_code
            if code >= 400 and not (m == 'GET' and code == 404):
                self.bad.append((m, path.split('?')[0], code, r.text[:200]))
        except Exception as e:  # noqa
            code, r = type(e).__name__, None
            self.bad.append((m, path, code, str(e)[:200]))
        self.lat.append(time.time() - t)
        self.codes['%s %s %s' % (svc, m, code)] += 1
        return r

    def report(self, name, wall):
        lat = sorted(self.lat)
        print('%s: %.1f s wall; %d requests; latency p50 %.2f p95 %.2f max '
              '%.2f s' % (name, wall, len(lat), lat[len(lat) // 2],
                          lat[int(len(lat) * .95)], lat[-1]))
        print('   ', dict(self.codes))
        for b in self.bad[:5]:
            print('    !', b)
        sys.stdout.flush()


def bulk(c, n, mixed=False):
    net, img, fl = network(c), c.image(), c.flavor()
    pool = cf.ThreadPoolExecutor(3 * n)

    def phase(name, f, items):
        ta = Tally(c)
        t = time.time()
        out = list(pool.map(lambda x: f(ta, x), items))
        ta.report(name, time.time() - t)
        return out

    def wait(ta, svc, path, ok, every=1.0, limit=600):
        end = time.time() + limit
        while time.time() < end:
            r = ta(svc, 'GET', path)
            if r is not None and ok(r):
                return r
            time.sleep(every)
        raise TimeoutError(path)

    def mkvol(ta, i):
        r = ta('volumev3', 'POST', '/volumes', {'volume': {
            'name': 'b%d' % i, 'size': 1, 'volume_type': 'replicated'}})
        v = r.json()['volume']['id']
        wait(ta, 'volumev3', '/volumes/' + v,
             lambda r: r.json()['volume']['status'] in ('available', 'error'))
        return v
    vols = phase('create %d blank volumes in parallel' % (2 * n), mkvol,
                 range(2 * n))
    for v in vols[:n]:
        c.vaction(v, 'os-set_bootable', {'bootable': True})

    def mksrv(ta, i):
        r = ta('compute', 'POST', '/servers', {'server': {
            'name': 'b%d' % i, 'flavorRef': fl, 'networks': [{'uuid': net}],
            'block_device_mapping_v2': [
                {'uuid': vols[i], 'source_type': 'volume',
                 'destination_type': 'volume', 'boot_index': 0},
                {'uuid': vols[n + i], 'source_type': 'volume',
                 'destination_type': 'volume', 'boot_index': -1}]}})
        s = r.json()['server']['id']
        r = wait(ta, 'compute', '/servers/' + s, lambda r: r.json()['server'][
            'status'] in ('ACTIVE', 'ERROR'))
        return s, r.json()['server']['status']
    out = phase('boot %d servers in parallel (2 volumes each)' % n, mksrv,
                range(n))
    print('    server states:', dict(collections.Counter(x[1] for x in out)))
    servers = [x[0] for x in out]

    def stop(ta, s):
        ta('compute', 'POST', '/servers/%s/action' % s, {'os-stop': None})
        wait(ta, 'compute', '/servers/' + s, lambda r: r.json()['server'][
            'status'] in ('SHUTOFF', 'ERROR'))
    phase('stop %d servers in parallel' % n, stop, servers)

    def sdel(ta, s):
        ta('compute', 'DELETE', '/servers/' + s)
        wait(ta, 'compute', '/servers/' + s, lambda r: r.status_code == 404)

    def vdel(ta, v):
        # what a careless client does: delete at once, retry while refused
        end = time.time() + 600
        while time.time() < end:
            r = ta('volumev3', 'DELETE', '/volumes/' + v)
            if r is not None and r.status_code in (202, 404):
                break
            time.sleep(1)
        wait(ta, 'volumev3', '/volumes/' + v, lambda r: r.status_code == 404)
    t = time.time()
    if mixed:
        phase('delete %d servers and %d volumes all at once' % (n, 2 * n),
              lambda ta, j: j[0](ta, j[1]), [(sdel, s) for s in servers] +
              [(vdel, v) for v in vols])
    else:
        phase('delete %d servers in parallel' % n, sdel, servers)
        phase('delete %d volumes in parallel' % (2 * n), vdel, vols)
    print('servers and volumes together: %.1f s' % (time.time() - t))


if __name__ == '__main__':
    cl = Cloud(sys.argv[1])
    rest = sys.argv[2:]
    if not rest or 'single' in rest:
        single(cl)
    if 'bulk' in rest:
        bulk(cl, int(rest[rest.index('bulk') + 1]), 'mixed' in rest)
