#!/usr/bin/env python3
"""Register a site's services and make its initial objects.

bootstrap.py identity   service users, services, endpoints, projects (site env)
bootstrap.py wait       until every service answers and the workers are up
bootstrap.py cloud      flavors, volume types, group types, image, public net
bootstrap.py clouds     write $TESTBED_BASE/clouds.yaml and one openrc per site
"""
import calendar
import os
import sys
import time

import openstack
import yaml

E = os.environ
PW = E['TESTBED_PASSWORD']
ADDR = E['TESTBED_ADDR']


def conn(user='admin', project='admin'):
    return openstack.connect(
        auth_url=E['AUTH_URL'], username=user, password=PW,
        project_name=project, user_domain_name='Default',
        project_domain_name='Default', region_name=E['SITE'],
        load_yaml_config=False, load_envvars=False)


def url(port, path=''):
    return 'http://%s:%s%s' % (ADDR, E[port], path)


def identity():
    c = conn()
    ident = c.identity
    service = ident.find_project('service') or ident.create_project(
        name='service', domain_id='default')
    admin, svc = ident.find_role('admin'), ident.find_role('service')
    if svc is None:
        svc = ident.create_role(name='service')
    for name in ('nova', 'placement', 'glance', 'neutron', 'cinder',
                 'protector'):
        u = ident.find_user(name) or ident.create_user(
            name=name, password=PW, domain_id='default')
        # protector gets what its manual asks for: admin here and nothing in
        # any tenant's project; it grants itself that by tenant mapping
        for r in ((admin,) if name == 'protector' else (admin, svc)):
            ident.assign_project_role_to_user(service, u, r)
    for name, typ, u in (
            ('nova', 'compute', url('PORT_NOVA', '/v2.1')),
            ('placement', 'placement', url('PORT_PLACEMENT')),
            ('glance', 'image', url('PORT_GLANCE')),
            ('neutron', 'network', url('PORT_NEUTRON')),
            ('cinderv3', 'volumev3',
             url('PORT_CINDER', '/v3/%(project_id)s')),
            ('protector', 'protector', url('PORT_PROTECTOR'))):
        s = ident.find_service(name) or ident.create_service(
            name=name, type=typ)
        have = {e.interface for e in ident.endpoints(service_id=s.id)}
        for i in ('public', 'internal', 'admin'):
            if i not in have:
                ident.create_endpoint(service_id=s.id, interface=i, url=u,
                                      region_id=E['SITE'])
    # a tenant with ordinary members, for the software under test
    dr = ident.find_project('dr') or ident.create_project(
        name='dr', domain_id='default')
    for user, role in (('dr', 'member'), ('dr-reader', 'reader'),
                       ('dr-manager', 'manager')):
        r = ident.find_role(role) or ident.create_role(name=role)
        u = ident.find_user(user) or ident.create_user(
            name=user, password=PW, domain_id='default')
        ident.assign_project_role_to_user(dr, u, r)
    ident.assign_project_role_to_user(dr, ident.find_user('admin'), admin)
    # and a second tenant, whose things the first must never see
    other = ident.find_project('other') or ident.create_project(
        name='other', domain_id='default')
    u = ident.find_user('other') or ident.create_user(
        name='other', password=PW, domain_id='default')
    ident.assign_project_role_to_user(other, u, ident.find_role('member'))


def wait():
    """Until every API answers and every worker has reported since its start.

    State 'up' alone is not enough: after a quick restart it is still the old
    heartbeat, and what is sent to a worker that has no queue yet is lost.
    """
    need = {'nova-conductor', 'nova-scheduler', 'nova-compute',
            'cinder-scheduler', 'cinder-volume'}
    started = {n: os.path.getmtime(os.path.join(E['RUN'], n + '.start'))
               for n in need}

    def fresh(s):
        try:
            t = calendar.timegm(time.strptime(
                s.updated_at[:19], '%Y-%m-%dT%H:%M:%S'))
        except TypeError:       # never reported
            return False
        return s.state == 'up' and t >= started[s.binary]

    deadline = time.time() + 180
    while True:
        try:
            c = conn()
            up = {s.binary for s in c.compute.services()
                  if s.binary in need and fresh(s)}
            up |= {s.binary for s in c.block_storage.services()
                   if s.binary in need and fresh(s)}
            list(c.network.networks())
            list(c.image.images())
            c.placement.get('/', headers={'Accept': 'application/json'})
            if need <= up:
                return
            err = 'not up: %s' % sorted(need - up)
        except Exception as e:  # noqa
            err = repr(e)
        for n in need:
            with open(os.path.join(E['RUN'], n + '.pid')) as f:
                if not os.path.exists('/proc/' + f.read().strip()):
                    sys.exit('%s: %s has ended, see %s/%s.log' % (
                        E['SITE'], n, E['LOG'], n))
        if time.time() > deadline:
            sys.exit('%s: not ready: %s' % (E['SITE'], err))
        time.sleep(1)


def cloud():
    c = conn()
    for name, ram, vcpus, disk in (('tiny', 256, 1, 0), ('small', 1024, 1, 0),
                                   ('medium', 4096, 2, 0),
                                   ('huge', 9000000, 1, 0)):
        if not c.compute.find_flavor(name):
            c.compute.create_flavor(name=name, ram=ram, vcpus=vcpus, disk=disk)
    bs = c.block_storage
    # Cinder's RBD driver takes replication_enabled as its own order to mirror an image, which fails
    # for every clone of a Glance image.
    replicated = {'replication_enabled': '<is> True', 'replication_type': '<in> async'}
    if E['BACKEND'] == 'rbd':
        replicated = {'protector:replication_type': '<in> async'}
    for name, specs in (
            ('replicated', {**replicated, 'volume_backend_name': E['BACKEND']}),
            ('plain', {'volume_backend_name': E['BACKEND']})):
        if not bs.find_type(name):
            bs.create_type(name=name, extra_specs=specs)
    for name, specs in (
            ('cg', {'consistent_group_snapshot_enabled': '<is> True'}),
            ('generic', {})):
        if not any(g.name == name for g in bs.group_types()):
            g = bs.create_group_type(name=name, is_public=True)
            if specs:
                bs.create_group_type_group_specs(g, specs)
    if not c.image.find_image('tiny'):
        path = os.path.join(E['STATE'], 'tiny.raw')
        with open(path, 'wb') as f:
            f.write(b'TINY-BOOT-IMAGE\n' + os.urandom(1 << 20))
            f.truncate(16 << 20)
        c.create_image('tiny', filename=path, disk_format='raw',
                       container_format='bare', visibility='public',
                       wait=True)
    if not c.network.find_network('public'):
        net = c.network.create_network(
            name='public', is_router_external=True,
            provider_network_type='flat',
            provider_physical_network='public')
        n = 100 + int(E['SITE_INDEX'])
        c.network.create_subnet(
            network_id=net.id, name='public', ip_version=4,
            cidr='172.24.%d.0/24' % n, is_dhcp_enabled=False)


def clouds():
    out = {}
    for spec in E['TESTBED_SITES'].split():
        site, idx = spec.split(':')
        auth_url = 'http://%s:%d/v3' % (ADDR, int(idx) * 10000 + 5357)
        for user, project, suffix in (
                ('admin', 'admin', '-admin'), ('dr', 'dr', ''),
                ('admin', 'dr', '-dr-admin'),
                ('dr-reader', 'dr', '-reader'),
                ('dr-manager', 'dr', '-manager'), ('other', 'other', '-other'),
                ('protector', 'service', '-protector')):
            out[site + suffix] = {
                'auth': {'auth_url': auth_url, 'username': user,
                         'password': PW, 'project_name': project,
                         'user_domain_name': 'Default',
                         'project_domain_name': 'Default'},
                'region_name': site, 'identity_api_version': 3}
            with open(os.path.join(E['TESTBED_BASE'],
                                   'openrc-%s%s' % (site, suffix)), 'w') as f:
                f.write(''.join('export %s=%s\n' % kv for kv in (
                    ('OS_AUTH_URL', auth_url), ('OS_USERNAME', user),
                    ('OS_PASSWORD', PW), ('OS_PROJECT_NAME', project),
                    ('OS_USER_DOMAIN_NAME', 'Default'),
                    ('OS_PROJECT_DOMAIN_NAME', 'Default'),
                    ('OS_REGION_NAME', site),
                    ('OS_IDENTITY_API_VERSION', '3'))))
    with open(os.path.join(E['TESTBED_BASE'], 'clouds.yaml'), 'w') as f:
        yaml.safe_dump({'clouds': out}, f)


{'identity': identity, 'wait': wait, 'cloud': cloud,
 'clouds': clouds}[sys.argv[1]]()
