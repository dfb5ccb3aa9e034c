"""A test failover and its cleanup: copies on a test network of the target, nothing of the source touched, nothing left."""

import json

import seed

from .scene import NETWORK, TARGET, TEST_NETWORK, NotSo, digest


def make_test_network(cloud):
    # The same addresses as production's: a test network is an island.
    seed.make_network(cloud, TEST_NETWORK)


def test_failover(scene):
    """A test failover and its cleanup"""
    vm = scene.protected_server()
    before = untouched(scene, vm)
    scene.action("sync", "--wait")
    started = scene.action(
        "test-failover", "--wait", "--network-mapping", f"{NETWORK}={TEST_NETWORK}", "-f", "value", "-c", "operation_id"
    )
    test = started.strip()
    copy = scene.copy_of(vm)
    volumes = looks_like_production(scene, vm, copy)
    if untouched(scene, vm) != before:
        raise NotSo(f"the source was touched by the test: {untouched(scene, vm)}, before {before}")
    scene.note("the copy runs on the test network with the same bytes, the source is untouched")
    cleaned = json.loads(scene.action("test-cleanup", "--test-operation-id", test, "--wait", "-f", "json"))
    if cleaned["status"] != "completed" or cleaned.get("steps_failed"):
        raise NotSo(f"the test cleanup says {cleaned}")
    gone(scene, copy, volumes)
    if untouched(scene, vm) != before:
        raise NotSo(f"the source was touched by the test cleanup: {untouched(scene, vm)}, before {before}")
    scene.operation = test
    scene.record().left()
    scene.note("the test cleanup removes the copy with its volumes and port, the source is untouched")
    again = scene.action("test-cleanup", "--test-operation-id", test, code=1)
    scene.output_has(again, cleaned["operation_id"])
    scene.note("a second one is refused and names the first")


CASES = (test_failover,)


def untouched(scene, vm):
    """All that the source's cloud says of the server and its volumes, and their bytes; the time of the report apart."""
    server = scene.source_admin.nova("GET", "/servers/" + vm.id)["server"]
    volumes = [scene.volume(volume) for volume in vm.volumes]
    return server, volumes, [digest(scene.source.site, volume.id, volume.marks) for volume in vm.volumes]


def looks_like_production(scene, vm, copy):
    """The ids of the copy's volumes, if it runs on the test network alone and has the original's bytes."""
    if not copy or copy["status"] != "ACTIVE":
        raise NotSo(f"the copy of {vm.name} on {TARGET} is {copy and copy['status']}, not ACTIVE")
    if set(copy["addresses"]) != {TEST_NETWORK}:
        raise NotSo(f"the copy is on {sorted(copy['addresses'])}, not on {TEST_NETWORK} alone")
    scene.copy_is_well(vm)
    return [each["id"] for each in copy["os-extended-volumes:volumes_attached"]]


def gone(scene, copy, volumes):
    if scene.target.raw("compute", "GET", "/servers/" + copy["id"]).status_code != 404:
        raise NotSo(f"the copy {copy['id']} is still on {TARGET}")
    for volume in volumes:
        if scene.target.raw("volumev3", "GET", "/volumes/" + volume).status_code != 404:
            raise NotSo(f"volume {volume} of the copy is still on {TARGET}")
    ports = scene.target.neutron("GET", "/ports?device_id=" + copy["id"])["ports"]
    if ports:
        raise NotSo(f"port {ports[0]['id']} of the copy is still on {TARGET}")
