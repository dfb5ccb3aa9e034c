"""Cinder volume driver: one sparse file per volume in a directory.

It needs no kernel support (no device-mapper, no NBD, no iSCSI) and follows the
behaviour of Cinder's RBD driver where a client of the API can see it: volume
names (volume-<uuid>), manage/unmanage by rename, list of manageable volumes,
replication_status of a replicated type, generic and consistent groups.
The other site's directory can be filled from outside (cp), which stands in for
storage replication.

A test of error handling can ask for trouble, in the volume's metadata or, unseen
by the software under test, in the file faults/<volume id> beside the directory
of the volumes (one NAME=VALUE a line; for manage also faults/<source-name>):
  testbed_fail=create|delete|manage|attach        raise in that driver call
  testbed_fail=busy                               delete: the volume is busy
  testbed_delay=<call>:<seconds>[,<call>:<s>...]  sleep in that driver call;
                                                  a bare number means delete
"""
import math
import os
import time

from cinder import exception
from cinder.image import image_utils
from cinder import interface
from cinder.objects import fields
from cinder.volume import configuration
from cinder.volume import driver
from cinder.volume import volume_utils
from oslo_concurrency import processutils
from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import fileutils
from oslo_utils import units

LOG = logging.getLogger(__name__)

OPTS = [
    cfg.StrOpt('dir_path', help='Directory that holds the volumes.'),
    cfg.BoolOpt('dir_replication', default=True,
                help='Report replication_enabled in the capabilities.'),
]
cfg.CONF.register_opts(OPTS, group=configuration.SHARED_CONF_GROUP)


def _run(*cmd):
    try:
        return processutils.execute(*cmd)
    except processutils.ProcessExecutionError as e:
        raise exception.VolumeBackendAPIException(data=str(e))


@interface.volumedriver
class DirDriver(driver.VolumeDriver):
    VERSION = '1.0.0'
    CI_WIKI_NAME = 'none'

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(OPTS)

    # -- set-up and statistics
    def do_setup(self, context):
        self.dir = self.configuration.dir_path
        fileutils.ensure_tree(self.dir)

    def check_for_setup_error(self):
        if not os.access(self.dir, os.W_OK):
            raise exception.VolumeBackendAPIException(
                data='%s is not writable' % self.dir)

    def get_volume_stats(self, refresh=False):
        name = self.configuration.safe_get('volume_backend_name')
        replicated = self.configuration.dir_replication
        stats = {
            'volume_backend_name': name, 'vendor_name': 'Test bed',
            'driver_version': self.VERSION, 'storage_protocol': 'file',
            'total_capacity_gb': 10000, 'free_capacity_gb': 10000,
            'reserved_percentage': 0, 'multiattach': True,
            'thin_provisioning_support': True,
            'max_over_subscription_ratio': '20.0',
            'consistent_group_snapshot_enabled': True,
            'backend_state': 'up' if os.path.isdir(self.dir) else 'down',
            'replication_enabled': replicated,
        }
        if replicated:
            stats['replication_targets'] = ['peer']
            stats['replication_type'] = ['async']
            stats['replication_count'] = 1
        self._stats = stats
        return stats

    # -- helpers
    def _path(self, name):
        return os.path.join(self.dir, name)

    def local_path(self, volume):
        return self._path(volume.name)

    def _snap(self, snapshot):
        return self._path('%s@%s' % (snapshot.volume_name, snapshot.name))

    def _copy(self, src, dst):
        _run('cp', '--reflink=auto', '--sparse=always', src, dst)

    @staticmethod
    def _grow(path, gib):
        if os.path.getsize(path) < gib * units.Gi:
            os.truncate(path, gib * units.Gi)

    @staticmethod
    def _replicated(vtype):
        return bool(vtype) and (vtype.extra_specs or {}).get(
            'replication_enabled') == '<is> True'

    def _update(self, volume):
        on = self._replicated(volume.volume_type)
        return {'replication_status': fields.ReplicationStatus.ENABLED if on
                else fields.ReplicationStatus.DISABLED}

    # -- faults asked for
    def _asked(self, volume, *names):
        asked = dict(volume.metadata or {})
        folder = os.path.join(os.path.dirname(self.dir), 'faults')
        for name in (volume.id,) + names:
            try:
                with open(os.path.join(folder, name)) as f:
                    asked.update(line.strip().split('=', 1) for line in f
                                 if '=' in line)
            except FileNotFoundError:
                pass
        return asked

    def _hook(self, volume, call, *names):
        asked = self._asked(volume, *names)
        for part in asked.get('testbed_delay', '').split(','):
            name, _, seconds = part.rpartition(':')
            if seconds and (name or 'delete') == call:
                time.sleep(float(seconds))
        fail = asked.get('testbed_fail')
        if call == 'delete' and fail == 'busy':
            raise exception.VolumeIsBusy(volume_name=volume.name)
        if fail == call:
            raise exception.VolumeBackendAPIException(
                data='testbed: %s asked to fail' % call)

    # -- volumes
    def create_volume(self, volume):
        self._hook(volume, 'create')
        with open(self.local_path(volume), 'wb') as f:
            f.truncate(volume.size * units.Gi)
        return self._update(volume)

    def create_volume_from_snapshot(self, volume, snapshot):
        self._copy(self._snap(snapshot), self.local_path(volume))
        self._grow(self.local_path(volume), volume.size)
        return self._update(volume)

    def create_cloned_volume(self, volume, src_vref):
        self._copy(self.local_path(src_vref), self.local_path(volume))
        self._grow(self.local_path(volume), volume.size)
        return self._update(volume)

    def delete_volume(self, volume):
        self._hook(volume, 'delete')
        try:
            os.unlink(self.local_path(volume))
        except FileNotFoundError:
            LOG.info('volume %s no longer exists in backend', volume.name)

    def extend_volume(self, volume, new_size):
        os.truncate(self.local_path(volume), int(new_size) * units.Gi)

    def copy_image_to_volume(self, context, volume, image_service, image_id,
                             disable_sparse=False):
        image_utils.fetch_to_raw(
            context, image_service, image_id, self.local_path(volume), '1M',
            size=volume.size, disable_sparse=disable_sparse)
        self._grow(self.local_path(volume), volume.size)

    def copy_volume_to_image(self, context, volume, image_service, image_meta):
        volume_utils.upload_volume(context, image_service, image_meta,
                                   self.local_path(volume), volume)

    def retype(self, context, volume, new_type, diff, host):
        on = (new_type.get('extra_specs') or {}).get(
            'replication_enabled') == '<is> True'
        return True, {'replication_status':
                      fields.ReplicationStatus.ENABLED if on
                      else fields.ReplicationStatus.DISABLED}

    # -- snapshots
    def create_snapshot(self, snapshot):
        self._copy(self._path(snapshot.volume_name), self._snap(snapshot))

    def delete_snapshot(self, snapshot):
        try:
            os.unlink(self._snap(snapshot))
        except FileNotFoundError:
            LOG.info('snapshot %s no longer exists', snapshot.name)

    def revert_to_snapshot(self, context, volume, snapshot):
        self._copy(self._snap(snapshot), self.local_path(volume))

    # -- exports
    def ensure_export(self, context, volume):
        pass

    def create_export(self, context, volume, connector):
        pass

    def remove_export(self, context, volume):
        pass

    def initialize_connection(self, volume, connector):
        self._hook(volume, 'attach')
        if not os.path.exists(self.local_path(volume)):
            raise exception.VolumeBackendAPIException(
                data='no backing file for %s' % volume.name)
        return {'driver_volume_type': 'local',
                'data': {'device_path': self.local_path(volume)}}

    def terminate_connection(self, volume, connector, **kwargs):
        pass

    # -- manage and unmanage
    def manage_existing_get_size(self, volume, existing_ref):
        if 'source-name' not in existing_ref:
            raise exception.ManageExistingInvalidReference(
                existing_ref=existing_ref,
                reason='Reference must contain source-name element.')
        name = existing_ref['source-name']
        path = self._path(name)
        if os.path.dirname(name) or not os.path.isfile(path):
            raise exception.ManageExistingInvalidReference(
                existing_ref=existing_ref,
                reason='Specified file does not exist.')
        return max(1, int(math.ceil(os.path.getsize(path) / units.Gi)))

    def manage_existing(self, volume, existing_ref):
        name = existing_ref['source-name']
        self._hook(volume, 'manage', name)
        vol_id = volume_utils.extract_id_from_volume_name(name)
        if volume_utils.check_already_managed_volume(vol_id):
            raise exception.ManageExistingAlreadyManaged(volume_ref=name)
        os.rename(self._path(name), self.local_path(volume))
        return self._update(volume)

    def get_manageable_volumes(self, cinder_volumes, marker, limit, offset,
                               sort_keys, sort_dirs):
        ids = [v['id'] for v in cinder_volumes]
        out = []
        for name in sorted(os.listdir(self.dir)):
            if '@' in name or not os.path.isfile(self._path(name)):
                continue
            vol_id = volume_utils.extract_id_from_volume_name(name)
            managed = vol_id in ids
            size = os.path.getsize(self._path(name))
            out.append({
                'reference': {'source-name': name},
                'size': max(1, int(math.ceil(size / units.Gi))),
                'cinder_id': vol_id if managed else None,
                'extra_info': None, 'safe_to_manage': not managed,
                'reason_not_safe': 'already managed' if managed else None})
        return volume_utils.paginate_entries_list(
            out, marker, limit, offset, sort_keys, sort_dirs)

    def unmanage(self, volume):
        pass

    # -- groups: only the consistent kind is the driver's own business
    def _cg(self, group):
        if not volume_utils.is_group_a_cg_snapshot_type(group):
            raise NotImplementedError()

    def create_group(self, context, group):
        self._cg(group)
        return {'status': fields.GroupStatus.AVAILABLE}

    def delete_group(self, context, group, volumes):
        self._cg(group)
        updates = []
        for v in volumes:
            self.delete_volume(v)
            updates.append({'id': v.id, 'status': 'deleted'})
        return {'status': fields.GroupStatus.DELETED}, updates

    def update_group(self, context, group, add_volumes=None,
                     remove_volumes=None):
        self._cg(group)
        return None, None, None

    def create_group_from_src(self, context, group, volumes,
                              group_snapshot=None, snapshots=None,
                              source_group=None, source_vols=None):
        self._cg(group)
        for v, s in zip(volumes, snapshots or []):
            self.create_volume_from_snapshot(v, s)
        for v, s in zip(volumes, source_vols or []):
            self.create_cloned_volume(v, s)
        return None, None

    def create_group_snapshot(self, context, group_snapshot, snapshots):
        self._cg(group_snapshot)
        for s in snapshots:
            self.create_snapshot(s)
        return ({'status': fields.GroupSnapshotStatus.AVAILABLE},
                [{'id': s.id, 'status': fields.SnapshotStatus.AVAILABLE}
                 for s in snapshots])

    def delete_group_snapshot(self, context, group_snapshot, snapshots):
        self._cg(group_snapshot)
        for s in snapshots:
            self.delete_snapshot(s)
        return ({'status': fields.GroupSnapshotStatus.DELETED},
                [{'id': s.id, 'status': fields.SnapshotStatus.DELETED}
                 for s in snapshots])

    # -- replication of a whole backend (Cheesecake)
    def failover_host(self, context, volumes, secondary_id=None, groups=None):
        target = secondary_id or 'peer'
        if target not in ('peer', 'default'):
            raise exception.InvalidReplicationTarget(
                reason='unknown target %s' % target)
        status = (fields.ReplicationStatus.FAILED_OVER if target == 'peer'
                  else fields.ReplicationStatus.ENABLED)
        return target, [{'volume_id': v.id,
                         'updates': {'replication_status': status}}
                        for v in volumes
                        if self._replicated(v.volume_type)], []
