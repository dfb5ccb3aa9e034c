#!/usr/bin/env python3
"""The tenant `dr` of the end-to-end story: what it owns before a failover.

seed.py seed     both sites: network and subnet prod-net, security group web, key pair ops;
                 site-a: web-server-1 and web-server-2, each with a boot and a data volume with
                 random bytes on them. Repeatable: what exists is kept. Prints `hashes`.
seed.py unseed   remove everything the tenant owns on both sites, in whatever state it is, the
                 backing files or images that Cinder no longer knows, mirrors, and the faults asked for
seed.py list     what the tenant owns on both sites
seed.py hashes   one line a volume of the tenant: site, name, id, status, SHA-256, name in the back end
"""

import base64
import os
import sys
import time

import disks
from cloud import BASE, CLOUDS, Cloud, HTTPError
from disks import MIB

SITES = sorted(name for name in CLOUDS if name == CLOUDS[name]["region_name"])
NETWORK, CIDR, GROUP, KEY = "prod-net", "10.20.0.0/24", "web", "ops"
SERVERS = (("web-server-1", "ws1", "10.20.0.11"), ("web-server-2", "ws2", "10.20.0.12"))
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC1Vv0+LW8oV5YpXoNC1c8z1JY4S2wYpA2bR1Fz1mQ9x ops"
USER_DATA = "#!/bin/sh\necho {} >/etc/hostname\n"


def named(found, name):
    return next((each for each in found if each["name"] == name), None)


# --- seed


def make_network(cloud, name=NETWORK, cidr=CIDR):
    network = named(cloud.neutron("GET", "/networks?name=" + name)["networks"], name)
    if not network:
        network = cloud.neutron("POST", "/networks", {"network": {"name": name}})["network"]
    if not network["subnets"]:
        subnet = {"network_id": network["id"], "name": name, "ip_version": 4, "cidr": cidr}
        cloud.neutron("POST", "/subnets", {"subnet": subnet})
    return network["id"]


def make_security_group(cloud):
    if cloud.neutron("GET", "/security-groups?name=" + GROUP)["security_groups"]:
        return
    group = cloud.neutron("POST", "/security-groups", {"security_group": {"name": GROUP}})
    for port in (22, 80, 443):
        rule = {
            "security_group_id": group["security_group"]["id"],
            "direction": "ingress",
            "protocol": "tcp",
            "port_range_min": port,
            "port_range_max": port,
        }
        cloud.neutron("POST", "/security-group-rules", {"security_group_rule": rule})


def make_key_pair(cloud):
    if cloud.raw("compute", "GET", "/os-keypairs/" + KEY).status_code == 404:
        cloud.nova("POST", "/os-keypairs", {"keypair": {"name": KEY, "public_key": PUBLIC_KEY}})


def make_image(cloud, name, **properties):
    """An image of the tenant's own, 1 MiB."""
    there = named(cloud.glance("GET", "/images?name=" + name)["images"], name)
    if there:
        return there["id"]
    asked = {"name": name, "disk_format": "raw", "container_format": "bare", **properties}
    image = cloud.glance("POST", "/images", asked)["id"]
    headers = {"X-Auth-Token": cloud.token, "Content-Type": "application/octet-stream"}
    cloud.s.put(f"{cloud.cat['image']}/v2/images/{image}/file", data=os.urandom(MIB), headers=headers).raise_for_status()
    return image


def make_volume(cloud, name, marks, **kind):
    """The id of the volume of that name; one that is new gets random MiBs at `marks` (in MiB)."""
    there = named(cloud.cinder("GET", "/volumes/detail")["volumes"], name)
    if there:
        return there["id"]
    volume = cloud.volume(name, volume_type="replicated", metadata={"tier": "web"}, **kind)
    disks.of(cloud.site).write(disks.name_of(volume["id"]), marks)
    return volume["id"]


def make_server(cloud, network, name, short, address):
    if named(cloud.nova("GET", "/servers/detail")["servers"], name):
        return
    boot = make_volume(cloud, "vol-boot-" + short, (32, 1023), imageRef=cloud.image())
    data = make_volume(cloud, "vol-data-" + short, (0, 1, 2, 3, 512, 1023))
    cloud.server(
        name,
        boot,
        [data],
        networks=[{"uuid": network, "fixed_ip": address}],
        key_name=KEY,
        security_groups=[{"name": GROUP}],
        metadata={"role": "web", "owner": "prod"},
        user_data=base64.b64encode(USER_DATA.format(name).encode()).decode(),
    )


def seed():
    networks = {}
    for site in SITES:
        cloud = Cloud(site)
        networks[site] = make_network(cloud)
        make_security_group(cloud)
        make_key_pair(cloud)
    primary = Cloud(SITES[0])
    for name, short, address in SERVERS:
        make_server(primary, networks[SITES[0]], name, short, address)
    hashes()


# --- look


def hashes():
    for site in SITES:
        backend = disks.of(site)
        for volume in Cloud(site).cinder("GET", "/volumes/detail?sort=name:asc")["volumes"]:
            name = disks.name_of(volume["id"])
            digest = backend.sha256(name) if backend.has(name) else "not in the back end"
            print(site, volume["name"], volume["id"], volume["status"], digest, name)


def show():
    for site in SITES:
        cloud = Cloud(site)
        for server in cloud.nova("GET", "/servers/detail")["servers"]:
            print(site, "server", server["name"], server["id"], server["status"])
        for volume in cloud.cinder("GET", "/volumes/detail")["volumes"]:
            print(site, "volume", volume["name"], volume["id"], volume["status"])
        for plural in ("networks", "ports", "security-groups"):
            key = plural.replace("-", "_")
            for each in cloud.neutron("GET", f"/{plural}?project_id={cloud.project_id}")[key]:
                print(site, key[:-1], each["name"] or "-", each["id"])
        for name in unmanaged(site):
            print(site, "unmanaged in the back end:", name)


# --- unseed


def remove_servers(admin):
    for server in admin.nova("GET", "/servers/detail")["servers"]:
        path = "/servers/" + server["id"]
        if server["locked"]:
            admin.action(server["id"], "unlock")
        admin.raw("compute", "DELETE", path)
        try:
            admin.gone("compute", path, timeout=60)
        except TimeoutError:
            # A server that ended in ERROR on the way takes a second DELETE.
            admin.raw("compute", "POST", path + "/action", {"os-resetState": {"state": "error"}})
            admin.raw("compute", "DELETE", path)
            admin.gone("compute", path, timeout=60)


def remove_server_groups(admin):
    for group in admin.nova("GET", "/os-server-groups")["server_groups"]:
        admin.raw("compute", "DELETE", "/os-server-groups/" + group["id"])


def remove_groups(admin):
    """The project's groups with their volumes, and all snapshots."""
    for snapshot in admin.cinder("GET", "/group_snapshots")["group_snapshots"]:
        admin.raw("volumev3", "DELETE", "/group_snapshots/" + snapshot["id"])
        admin.gone("volumev3", "/group_snapshots/" + snapshot["id"], timeout=60)
    for snapshot in admin.cinder("GET", "/snapshots")["snapshots"]:
        # A volume in a group that has a snapshot cannot be deleted with it.
        admin.raw("volumev3", "DELETE", "/snapshots/" + snapshot["id"])
        admin.gone("volumev3", "/snapshots/" + snapshot["id"], timeout=60)
    for group in admin.cinder("GET", "/groups")["groups"]:
        action = f"/groups/{group['id']}/action"
        admin.raw("volumev3", "POST", action, {"reset_status": {"status": "available"}})
        admin.raw("volumev3", "POST", action, {"delete": {"delete-volumes": True}})
        admin.gone("volumev3", "/groups/" + group["id"], timeout=60)


def remove_volume(admin, volume):
    path = "/volumes/" + volume["id"]
    for attachment in admin.cinder("GET", "/attachments?volume_id=" + volume["id"])["attachments"]:
        admin.raw("volumev3", "DELETE", "/attachments/" + attachment["id"])
    end = time.time() + 60
    while admin.raw("volumev3", "GET", path).status_code != 404:
        if time.time() > end:
            raise TimeoutError(f"{admin.site}: volume {volume['id']} does not go")
        refused = admin.raw("volumev3", "DELETE", path + "?cascade=true").status_code == 400
        status = admin.raw("volumev3", "GET", path).json().get("volume", {}).get("status")
        if refused and status not in (None, "deleting", "available"):
            reset = {"os-reset_status": {"status": "error", "attach_status": "detached"}}
            admin.raw("volumev3", "POST", path + "/action", reset)
        time.sleep(0.3)


def remove_networking(admin):
    mine = "project_id=" + admin.project_id
    for router in admin.neutron("GET", "/routers?" + mine)["routers"]:
        for port in admin.neutron("GET", "/ports?device_id=" + router["id"])["ports"]:
            interface = {"port_id": port["id"]}
            admin.raw("network", "PUT", f"/routers/{router['id']}/remove_router_interface", interface)
        admin.raw("network", "DELETE", "/routers/" + router["id"])
    for plural, key in (("floatingips",) * 2, ("ports",) * 2, ("networks",) * 2, ("security-groups", "security_groups")):
        for each in admin.neutron("GET", f"/{plural}?{mine}")[key]:
            if each.get("name") != "default":
                admin.raw("network", "DELETE", f"/{plural}/{each['id']}")


def remove_images(admin):
    for image in admin.glance("GET", "/images?owner=" + admin.project_id)["images"]:
        admin.raw("image", "DELETE", "/v2/images/" + image["id"])


def remove_key_pairs(site):
    # Key pairs belong to a user, not to a project.
    for suffix in ("", "-protector"):
        cloud = Cloud(site + suffix)
        for pair in cloud.nova("GET", "/os-keypairs")["keypairs"]:
            cloud.raw("compute", "DELETE", "/os-keypairs/" + pair["keypair"]["name"])


def unmanaged(site):
    """What the back end has of no volume of any project, e.g. what unmanage left."""
    every = Cloud(site + "-admin").cinder("GET", "/volumes?all_tenants=1")["volumes"]
    managed = {disks.name_of(volume["id"]) for volume in every}
    return [name for name in disks.of(site).names() if name.split("@")[0] not in managed]


def unseed():
    # What is mirrored comes back on the one side as long as it is mirrored on the other.
    for primary in (False, True):
        for site in SITES:
            disks.of(site).end_replication(primary)
    for site in SITES:
        faults = os.path.join(BASE, site, "state", "faults")
        for name in os.listdir(faults) if os.path.isdir(faults) else ():
            os.unlink(os.path.join(faults, name))
        admin = Cloud(site + "-dr-admin")
        clear_metadata_faults(admin)
        remove_servers(admin)
        remove_server_groups(admin)
        remove_groups(admin)
        for volume in admin.cinder("GET", "/volumes/detail")["volumes"]:
            remove_volume(admin, volume)
        remove_networking(admin)
        remove_images(admin)
        remove_key_pairs(site)
        for name in unmanaged(site):
            disks.of(site).remove(name)


def clear_metadata_faults(admin):
    for knob in ("testbed_fail", "testbed_delay"):
        for server in admin.nova("GET", "/servers/detail")["servers"]:
            admin.raw("compute", "DELETE", f"/servers/{server['id']}/metadata/{knob}")
        for volume in admin.cinder("GET", "/volumes/detail")["volumes"]:
            admin.raw("volumev3", "DELETE", f"/volumes/{volume['id']}/metadata/{knob}")


COMMANDS = {"seed": seed, "unseed": unseed, "list": show, "hashes": hashes}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    try:
        COMMANDS[sys.argv[1]]()
    except (HTTPError, TimeoutError, RuntimeError) as problem:
        sys.exit(str(problem))
