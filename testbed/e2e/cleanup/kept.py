"""What a cleaner meets on a healthy cloud: what must stay stays, the record says why, and once that is over cleanup finishes."""

from .scene import SOURCE, NotSo, Volume

ADMIN = SOURCE + "-admin"


def locked_server(scene):
    """A server that an administrator locked"""
    vm = scene.protected_server()
    with scene.failover(vm):
        lock = ["--os-compute-api-version", "2.73", "server", "lock", "--reason", "audit 4711", vm.id]
        scene.openstack(*lock, cloud=ADMIN)
    scene.record().left(*vm.steps).says(vm.step, "kept: ", "locked", "audit 4711", "server unlock").says(
        vm.data.step, "kept: ", "server was not deleted"
    )
    scene.server_stays(vm, "SHUTOFF")
    scene.stays(*vm.volumes, status="in-use")
    scene.note("stays with its volumes, the record says that it is locked, and why")
    scene.cleanup(code=1)
    scene.server_stays(vm, "SHUTOFF")
    scene.note("cleanup does not override the lock")
    scene.openstack("server", "unlock", vm.id, cloud=ADMIN)
    scene.cleanup_finishes(vm, 3)


def error_server(scene):
    """A server that went to ERROR"""
    vm = scene.protected_server()
    with scene.alone(), scene.between_switch_and_cleanup(vm):
        scene.openstack("server", "set", "--auto-approve", "--state", "error", vm.id, cloud=ADMIN)
    scene.record().left().completed(*vm.steps)
    scene.source_is_empty(vm)
    scene.copy_is_well(vm)
    scene.note("goes with its volumes")


def volume_with_snapshot(scene):
    """A volume of which the tenant has a snapshot"""
    vm = scene.protected_server()
    snapshot = f"snap-{scene.name}"
    create = ["--os-volume-api-version", "3.66", "volume", "snapshot", "create", "--volume", vm.data.id]
    scene.openstack(*create, snapshot)
    with scene.failover(vm):
        pass
    scene.record().left(vm.data.step).says(vm.data.step, "kept: ", "snapshot", "openstack volume snapshot delete")
    scene.went(vm, vm.boot)
    scene.stays(vm.data)
    shown = scene.openstack("volume", "snapshot", "show", snapshot, "-f", "value", "-c", "status")
    scene.output_has(shown, "available")
    scene.note("stays with its snapshot, everything else goes")
    scene.cleanup(code=1)
    scene.stays(vm.data)
    scene.openstack("volume", "snapshot", "delete", snapshot)
    scene.until(
        "the snapshot to go", lambda: not scene.source.cinder("GET", f"/snapshots?volume_id={vm.data.id}")["snapshots"]
    )
    scene.cleanup_finishes(vm, 1)


def volume_in_group(scene):
    """A volume in a Cinder group, beside a volume of somebody else's"""
    vm = scene.protected_server()
    neighbour = scene.source.volume("vol-neighbour", volume_type="replicated")["id"]
    create = ["--os-volume-api-version", "3.13", "volume", "group", "create", "--volume-group-type", "generic"]
    group = scene.openstack(*create, "--volume-type", "replicated", "--name", "app", "-f", "value", "-c", "ID", "-c", "id")
    group = group.strip()
    path = "/groups/" + group
    scene.until("the group", lambda: scene.source.cinder("GET", path)["group"]["status"] == "available")
    # The openstack command cannot put a volume into a group.
    scene.source.cinder("PUT", path, {"group": {"add_volumes": f"{vm.data.id},{neighbour}"}})
    data = Volume(vm.data.id, vm.data.name)
    scene.until("the volume in the group", lambda: scene.volume(data)["group_id"] == group)
    with scene.failover(vm):
        pass
    scene.record().left().completed(*vm.steps)
    scene.source_is_empty(vm)
    scene.copy_is_well(vm)
    left = scene.volume(Volume(neighbour, "vol-neighbour"))
    if left is None or left["status"] != "available" or left["group_id"] != group:
        raise NotSo(f"the neighbour in the group is {left}")
    scene.note("is taken out of its group and goes; the group and its other volume stay")


def volume_of_another_server(scene):
    """A delete_on_termination volume with retain on, then attached to another server"""
    vm = scene.protected_server()
    other = scene.server(scene.name + "-other")
    update = ["--os-compute-api-version", "2.85", "server", "volume", "update", "--delete-on-termination"]
    scene.openstack(*update, vm.id, vm.data.id)
    with scene.failover(vm, "--retain-source-volumes"):
        pass
    scene.record().left().completed(vm.step)
    scene.went(vm)
    scene.stays(*vm.volumes)
    scene.note("stays, retained, though Nova was to delete it with its server")
    scene.openstack("server", "add", "volume", other.id, vm.data.id)
    scene.until("the volume to be attached", lambda: scene.volume_status(vm.data) == "in-use")
    scene.output_has(scene.cleanup(code=1), "Volumes retained by configuration", "1 resource deleted, 1 failure.")
    scene.record().left(vm.data.step).says(vm.data.step, "kept: ", other.id)
    scene.went(vm.boot)
    scene.stays(vm.data, *other.volumes, status="in-use")
    scene.server_stays(other, "ACTIVE")
    scene.note("stays while another server has it")
    scene.openstack("server", "remove", "volume", other.id, vm.data.id)
    scene.until("the volume to be detached", lambda: scene.volume_status(vm.data) == "available")
    scene.cleanup_finishes(vm, 1)
    scene.server_stays(other, "ACTIVE")
    scene.stays(*other.volumes, status="in-use")


def deleted_by_hand(scene):
    """Contract, "Volume not found": the server and a volume are deleted by hand first"""
    vm = scene.protected_server()
    with scene.alone(), scene.between_switch_and_cleanup(vm):
        scene.openstack("server", "delete", "--wait", vm.id)
        scene.openstack("volume", "delete", vm.data.id)
    scene.record().left(vm.step, vm.data.step).says(vm.data.step, "Volume not found (404)").says(
        vm.step, "Server not found (404)"
    )
    scene.went(vm, *vm.volumes)
    scene.note("the entries say 404, the other volume went")
    scene.output_has(scene.cleanup(), "2 resources deleted, 0 failures.")
    scene.record().left().completed(*vm.steps)
    scene.copy_is_well(vm)
    scene.note("cleanup reports success")


CASES = (locked_server, error_server, volume_with_snapshot, volume_in_group, volume_of_another_server, deleted_by_hand)
