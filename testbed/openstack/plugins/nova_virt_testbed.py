"""Fake hypervisor whose guests survive a restart of nova-compute.

nova.virt.fake keeps its guests in memory, so after a restart every stop or start of an older server
fails with InstanceNotFound. This one keeps them in a file, as a real hypervisor would. It is
installed as nova/virt/testbed.py because Nova loads drivers from that package only.

A test of error handling can ask for trouble, in the server's metadata or, unseen by the software
under test, in the file faults/<server id> beside the site's other state (one NAME=VALUE a line):
  testbed_fail=spawn|power_off|power_on|destroy   raise in that driver call
  testbed_delay=<call>:<seconds>[,<call>:<s>...]  sleep in that driver call
"""
import json
import os
import threading
import time

import nova.conf
from nova import exception
from nova.virt import fake

CONF = nova.conf.CONF


class PersistentFakeDriver(fake.FakeDriverWithoutFakeNodes):

    def init_host(self, host):
        super().init_host(host)
        self._lock = threading.Lock()
        self._path = os.path.join(CONF.state_path, 'testbed-guests.json')
        try:
            with open(self._path) as f:
                saved = json.load(f)
        except FileNotFoundError:
            saved = {}
        for uuid, g in saved.items():
            self.instances[uuid] = fake.FakeInstance(
                g['name'], g['state'], uuid)

    def _save(self):
        with self._lock:
            data = {u: {'name': i.name, 'state': i.state}
                    for u, i in list(self.instances.items())}
            tmp = self._path + '.tmp'
            with open(tmp, 'w') as f:
                json.dump(data, f)
            os.replace(tmp, self._path)

    @staticmethod
    def _hook(instance, call):
        md = dict(instance.metadata or {})
        site_state = os.path.dirname(CONF.state_path)
        try:
            with open(os.path.join(site_state, 'faults', instance.uuid)) as f:
                md.update(line.strip().split('=', 1) for line in f
                          if '=' in line)
        except FileNotFoundError:
            pass
        for part in md.get('testbed_delay', '').split(','):
            name, _, secs = part.partition(':')
            if name == call and secs:
                time.sleep(float(secs))
        if md.get('testbed_fail') == call:
            raise exception.InternalError('testbed: %s asked to fail' % call)

    def spawn(self, context, instance, *args, **kwargs):
        self._hook(instance, 'spawn')
        super().spawn(context, instance, *args, **kwargs)
        self._save()

    def destroy(self, context, instance, *args, **kwargs):
        self._hook(instance, 'destroy')
        super().destroy(context, instance, *args, **kwargs)
        self._save()

    def power_off(self, instance, *args, **kwargs):
        self._hook(instance, 'power_off')
        super().power_off(instance, *args, **kwargs)
        self._save()

    def power_on(self, context, instance, *args, **kwargs):
        self._hook(instance, 'power_on')
        super().power_on(context, instance, *args, **kwargs)
        self._save()
