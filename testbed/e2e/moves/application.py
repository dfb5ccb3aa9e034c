"""What tenant dr has: an application of three servers with seven volumes, and neighbours on both sites that never move."""

import base64
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import disks
import seed
from cloud import Cloud

SITES = SOURCE, TARGET = "site-a", "site-b"
# A second network of the application.
BACKEND, BACKEND_CIDR = "back-net", "10.30.0.0/24"
NETWORKS = (seed.NETWORK, BACKEND)
NEIGHBOUR = "neighbour"
# What the application boots from. Nova builds a server's machine as these properties say; Cinder keeps them with the volume.
IMAGE = "shop-image"
IMAGE_PROPERTIES = {"hw_disk_bus": "scsi", "hw_scsi_model": "virtio-scsi", "os_distro": "debian"}
# The MiBs of a volume that its guest writes while it is the one in use.
WRITTEN_MIB = 2


@dataclass(frozen=True)
class Volume:
    name: str
    size: int


@dataclass(frozen=True)
class Server:
    name: str
    # Network name to address.
    addresses: dict
    # The first one is the boot volume.
    volumes: tuple
    running: bool = True
    # Networks in which the tenant has made the port, as most tools do; Nova makes the others.
    own_ports: tuple = ()


SERVERS = (
    Server("shop-web", {seed.NETWORK: "10.20.0.21"}, (Volume("shop-web-boot", 1), Volume("shop-web-data", 1))),
    Server(
        "shop-db",
        {seed.NETWORK: "10.20.0.31", BACKEND: "10.30.0.31"},
        (Volume("shop-db-boot", 1), Volume("shop-db-data", 2), Volume("shop-db-log", 1)),
        own_ports=(seed.NETWORK,),
    ),
    Server(
        "shop-batch", {BACKEND: "10.30.0.41"}, (Volume("shop-batch-boot", 1), Volume("shop-batch-data", 1)), running=False
    ),
)
VOLUMES = tuple(volume for server in SERVERS for volume in server.volumes)


# --- what is there before, and stays


def make_neighbours(site):
    """Networks and a router; a server with a floating IP; a volume in a Cinder group with a snapshot; an image."""
    cloud = Cloud(site)
    networks = {
        seed.NETWORK: seed.make_network(cloud),
        BACKEND: seed.make_network(cloud, BACKEND, BACKEND_CIDR),
    }
    seed.make_security_group(cloud)
    seed.make_key_pair(cloud)
    boot = seed.make_volume(cloud, NEIGHBOUR + "-boot", (32,), imageRef=cloud.image())
    cloud.server(NEIGHBOUR, boot, networks=[{"uuid": networks[seed.NETWORK], "fixed_ip": "10.20.0.201"}])
    make_floating_ip(cloud, networks[seed.NETWORK])
    make_group_of_volumes(cloud)
    seed.make_image(cloud, IMAGE, **IMAGE_PROPERTIES)
    if site == SOURCE:
        for server in SERVERS:
            for network in server.own_ports:
                make_port(cloud, networks[network], server.name, server.addresses[network])
    return networks


def make_floating_ip(cloud, network):
    public = cloud.by_name("network", "/networks?name=public", "networks", "public")["id"]
    gateway = {"router": {"name": NEIGHBOUR, "external_gateway_info": {"network_id": public}}}
    router = cloud.neutron("POST", "/routers", gateway)["router"]["id"]
    subnet = cloud.neutron("GET", "/subnets?network_id=" + network)["subnets"][0]["id"]
    cloud.neutron("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})
    port = cloud.neutron("GET", "/ports?fixed_ips=ip_address%3D10.20.0.201")["ports"][0]["id"]
    cloud.neutron("POST", "/floatingips", {"floatingip": {"floating_network_id": public, "port_id": port}})


def make_group_of_volumes(cloud):
    kind = cloud.by_name("volumev3", "/types", "volume_types", "replicated")["id"]
    generic = next(each["id"] for each in cloud.cinder("GET", "/group_types")["group_types"] if each["name"] == "generic")
    asked = {"group": {"name": NEIGHBOUR, "group_type": generic, "volume_types": [kind]}}
    group = cloud.cinder("POST", "/groups", asked)["group"]["id"]
    wait_group(cloud, group)
    data = seed.make_volume(cloud, NEIGHBOUR + "-data", (0,))
    cloud.cinder("PUT", "/groups/" + group, {"group": {"add_volumes": data}})
    wait_group(cloud, group)
    snapshot = {"snapshot": {"volume_id": data, "name": NEIGHBOUR}}
    cloud.cinder("POST", "/snapshots", snapshot)


def wait_group(cloud, group):
    deadline = time.monotonic() + 60
    while (status := cloud.cinder("GET", "/groups/" + group)["group"]["status"]) != "available":
        if status == "error" or time.monotonic() > deadline:
            raise RuntimeError(f"Cinder group {group} is {status}")
        time.sleep(0.2)


def make_port(cloud, network, server, address):
    group = cloud.neutron("GET", "/security-groups?name=" + seed.GROUP)["security_groups"][0]["id"]
    asked = {"network_id": network, "name": server, "fixed_ips": [{"ip_address": address}], "security_groups": [group]}
    cloud.neutron("POST", "/ports", {"port": asked})


# --- the application


def make(networks, all_running=False):
    """The application on its first site, as the tenant builds it; one server is stopped unless all shall run."""
    cloud = Cloud(SOURCE)
    for server in SERVERS:
        boot, *data = (make_volume(cloud, volume, boot=volume is server.volumes[0]) for volume in server.volumes)
        made = cloud.server(
            server.name,
            boot,
            data,
            networks=[nic(cloud, server, network, networks[network]) for network in server.addresses],
            key_name=seed.KEY,
            security_groups=[{"name": seed.GROUP}],
            metadata={"role": server.name},
            user_data=base64.b64encode(seed.USER_DATA.format(server.name).encode()).decode(),
        )
        if not (server.running or all_running):
            cloud.action(made["id"], "os-stop")
            cloud.wait_server(made["id"], "SHUTOFF")


def make_volume(cloud, volume, boot):
    more = {"imageRef": cloud.image(IMAGE)} if boot else {}
    return seed.make_volume(cloud, volume.name, (64, volume.size * 1024 - 1), size=volume.size, **more)


def nic(cloud, server, name, network):
    address = server.addresses[name]
    if name not in server.own_ports:
        return {"uuid": network, "fixed_ip": address}
    port = cloud.neutron("GET", f"/ports?network_id={network}&fixed_ips=ip_address%3D{address}")["ports"][0]
    return {"port": port["id"]}


# --- its bytes


def stored(site):
    """Volume name to its name in the back end, of the application's volumes that this site has."""
    names = {volume.name for volume in VOLUMES}
    found = Cloud(site + "-dr-admin").cinder("GET", "/volumes/detail")["volumes"]
    return {each["name"]: disks.name_of(each["id"]) for each in found if each["name"] in names}


def digests(site):
    """Volume name to SHA-256 of all its bytes."""
    there = stored(site)
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(there, pool.map(disks.of(site).sha256, there.values()), strict=True))


def write(site):
    """What the guests write while they run here: new bytes in each volume, somewhere else each time. Returns how many."""
    there, backend = stored(site), disks.of(site)
    for name in there.values():
        size = backend.size(name) // disks.MIB
        backend.write(name, [int.from_bytes(os.urandom(4)) % size for _ in range(WRITTEN_MIB)])
    return len(there) * WRITTEN_MIB * disks.MIB


def fill(site, name, size):
    """So many MiB of bytes on a volume, from its beginning on: what a copy of it all would send."""
    disks.of(site).write(stored(site)[name], range(size))


def held(site):
    """How many bytes the application's volumes hold."""
    return sum(disks.of(site).used(name) for name in stored(site).values())


def different(before, after):
    """What is wrong with the bytes, one line each."""
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield f"volume {name} is missing"
        elif name not in before:
            yield f"volume {name} was not there before"
        elif before[name] != after[name]:
            yield f"volume {name} has other bytes: sha256 {after[name]}, it should be {before[name]}"
