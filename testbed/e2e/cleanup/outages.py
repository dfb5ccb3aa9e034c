"""What a cleaner meets on a cloud of which a part is away. Each of these runs alone while its part is away."""

from contextlib import contextmanager

import processes

from .scene import SOURCE, TARGET

COMPUTE_HOST = SOURCE + "-compute1"


@contextmanager
def mended_afterwards(scene):
    """Whatever of the source's services the body stops runs again at its end."""
    try:
        yield
    finally:
        scene.testbed("up.sh", SOURCE)


@contextmanager
def believed_afterwards(scene):
    """Nova goes by what it hears of its compute service again, not by what it was told."""
    try:
        yield
    finally:
        tell_nova(scene, "--up")


def tell_nova(scene, state):
    """That the compute service is up or down. It notices by itself, a minute later."""
    command = ["--os-compute-api-version", "2.11", "compute", "service", "set", state, COMPUTE_HOST, "nova-compute"]
    scene.openstack(*command, cloud=SOURCE + "-admin")


def compute_service_down(scene):
    """A volume whose server's nova-compute is down"""
    vm = scene.protected_server()
    with scene.alone():
        with mended_afterwards(scene), believed_afterwards(scene):
            with scene.between_switch_and_cleanup(vm):
                scene.testbed("ctl.sh", "kill", SOURCE, "nova-compute")
                tell_nova(scene, "--down")
            scene.record().left(*vm.steps).says(vm.step, "kept: ", "nova-compute", COMPUTE_HOST)
            scene.server_stays(vm, "SHUTOFF")
            scene.stays(*vm.volumes, status="in-use")
            scene.note("stays with its server, and the record names the host")
            # Nova forgets the server without asking its host, and Cinder says that the volumes are free.
            scene.openstack("server", "delete", "--wait", vm.id)
            scene.until("the volumes to be let go", lambda: scene.volume_status(vm.data) == "available")
            scene.cleanup(code=1)
            scene.record().left(vm.boot.step, vm.data.step).says(vm.data.step, "kept: ", "nova-compute", COMPUTE_HOST)
            scene.stays(*vm.volumes)
            scene.note("stays when the server was deleted by hand, as its guest might still write")
        scene.cleanup_finishes(vm, 2)


def stale_attachment(scene):
    """Contract, "Volume status must be available": Cinder's API is away while the server is deleted"""
    vm = scene.protected_server()
    with scene.alone():
        with mended_afterwards(scene), scene.between_switch_and_cleanup(vm):
            scene.testbed("ctl.sh", "kill", SOURCE, "cinder-api")
        scene.record().left(*(volume.step for volume in vm.volumes)).says(vm.data.step, "Cinder")
        scene.went(vm)
        scene.stays(*vm.volumes, status="in-use")
        scene.note("the server goes, its volumes stay in-use by nobody and are in the record")
        scene.cleanup_finishes(vm, 2)


def compute_api_down(scene):
    """Contract, "Source-site VMs still visible": Nova's API is away during the cleanup"""
    vm = scene.protected_server()
    with scene.alone():
        with mended_afterwards(scene), scene.between_switch_and_cleanup(vm):
            scene.testbed("ctl.sh", "kill", SOURCE, "nova-api")
        scene.record().left(*vm.steps).says(vm.step, "Nova cannot be reached").says(vm.data.step, "Nova cannot be reached")
        scene.server_stays(vm, "SHUTOFF")
        scene.stays(*vm.volumes, status="in-use")
        scene.note("server and volumes are entries in the record, the failover stands")
        scene.copy_is_well(vm)
        scene.openstack("server", "delete", "--wait", vm.id)
        scene.cleanup_finishes(vm, 3)
        scene.note("after the server was deleted by hand")


def peer_down(scene):
    """Contract, "Remote site unreachable": the other site's protector is away"""
    vm = scene.protected_server()
    with scene.failover(vm, "--retain-source-volumes"):
        pass
    scene.stays(*vm.volumes)
    with scene.alone():
        with protector_api_away(TARGET):
            refusal = scene.cleanup(code=1)
            scene.output_has(refusal, "Remote site unreachable — metadata sync required", "sync-status", "sync-force")
            scene.stays(*vm.volumes)
            scene.note("cleanup is refused in the contract's words and touches nothing")
            status = scene.openstack("dr", "protection-group", "sync-status", scene.group)
            scene.output_has(status, "UNREACHABLE")
            scene.note("sync-status says UNREACHABLE")
        scene.output_has(scene.openstack("dr", "protection-group", "sync-force", scene.group), "IN SYNC")
        scene.note("after sync-force the sites are in sync")
        scene.cleanup_finishes(vm, 2)


@contextmanager
def protector_api_away(site):
    """The API of one of the two protectors that this run started is stopped, and started again."""
    processes.end("api", site)
    try:
        yield
    finally:
        processes.start("api", site)


CASES = (peer_down, stale_attachment, compute_api_down, compute_service_down)
