"""Everything that a cloud holds, of all projects, asked of its services as administrator, and of the back end.

What is counted are descriptions in which a copy reads as its original does: ids, hosts and times are left out, and so are
protector's marks. Descriptions of quota and Placement are counted as often as they say: `5 x quota of dr: volumes`.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field

import disks
import seed
from cloud import Cloud

MARKS = "protector:"
SERVICE_USER = "protector"
# What Cinder writes itself about the image that a volume was made from. A copy was not made from it.
OF_THE_IMAGE = {
    "checksum",
    "container_format",
    "disk_format",
    "image_id",
    "image_name",
    "min_disk",
    "min_ram",
    "signature_verified",
    "size",
}
# The newest version in which /usages takes a project alone.
PLACEMENT = "1.30"


@dataclass
class Census:
    """How often each description holds, and the ids of all that was found."""

    lines: Counter = field(default_factory=Counter)
    ids: dict = field(default_factory=dict)

    def add(self, text, found=None, count=1):
        self.lines[text] += count
        if found:
            self.ids[found] = text

    def problems(self, expected, stayed=None):
        """What is too many and what is missing, as compared with the lines expected; which of `stayed`'s ids are gone."""
        for text, count in sorted((self.lines - expected).items()):
            yield f"too many: {count} x {text}"
        for text, count in sorted((expected - self.lines).items()):
            yield f"missing: {count} x {text}"
        for found in sorted((stayed.ids.keys() if stayed else set()) - self.ids.keys()):
            yield f"gone, or replaced by another: {stayed.ids[found]} ({found})"


class Counting:
    """A census in the making."""

    def __init__(self, site):
        self.site = site
        self.admin = Cloud(site + "-admin")
        self.seen = Census()
        everybody = self.admin.req("identity", "GET", "/projects")["projects"]
        self.projects = {each["id"]: each["name"] for each in everybody}
        self.volumes = self.admin.cinder("GET", "/volumes/detail?all_tenants=1")["volumes"]
        self.volume_names = {each["id"]: each["name"] or each["id"] for each in self.volumes}
        self.servers = self.admin.nova("GET", "/servers/detail?all_tenants=1")["servers"]
        self.server_names = {each["id"]: each["name"] for each in self.servers}
        found = self.admin.neutron("GET", "/networks")["networks"]
        self.networks = {each["id"]: each["name"] for each in found}

    def project(self, found):
        return self.projects.get(found, found)

    def all(self):
        self.compute()
        self.key_pairs()
        self.storage()
        self.network()
        self.images()
        self.shares()
        self.files()
        return self.seen

    def compute(self):
        for server in self.servers:
            about = {
                "flavor": server["flavor"]["original_name"],
                "key": server["key_name"],
                "groups": sorted({group["name"] for group in server.get("security_groups", [])}),
                "metadata": unmarked(server["metadata"]),
                "user data": short(server.get("OS-EXT-SRV-ATTR:user_data")),
                "config drive": server["config_drive"],
                "description": server.get("description"),
                "locked": server["locked"],
            }
            self.seen.add(
                f"server {server['name']}, {server['status']}, {self.told(server['tenant_id'], about)}", server["id"]
            )
            self.attached(server)
        for each in self.admin.nova("GET", "/servers/detail?all_tenants=1&status=SOFT_DELETED")["servers"]:
            self.seen.add(f"soft-deleted server {each['name']}", each["id"])
        for each in self.admin.nova("GET", "/os-server-groups?all_projects=true")["server_groups"]:
            self.seen.add(f"server group {each['name']} of {len(each['members'])}", each["id"])

    def attached(self, server):
        path = f"/servers/{server['id']}/os-volume_attachments"
        for place in self.admin.nova("GET", path)["volumeAttachments"]:
            volume = self.volume_names.get(place["volumeId"], place["volumeId"])
            kept = "deleted with it" if place["delete_on_termination"] else "kept"
            self.seen.add(f"{place['device']} of {server['name']} is {volume}, {kept}")

    def key_pairs(self):
        for user in self.admin.req("identity", "GET", "/users")["users"]:
            for each in self.admin.nova("GET", "/os-keypairs?user_id=" + user["id"])["keypairs"]:
                pair = each["keypair"]
                if user["name"] == SERVICE_USER and pair["name"] == seed.KEY:
                    # It stays for the next move: one for each key of the tenants, not one for each move.
                    continue
                self.seen.add(f"key pair {pair['name']} of {user['name']}, {pair['fingerprint']}")

    def storage(self):
        groups = {each["id"]: each for each in self.admin.cinder("GET", "/groups/detail?all_tenants=1")["groups"]}
        for volume in self.volumes:
            about = {
                "type": volume["volume_type"],
                "bootable": volume["bootable"],
                "metadata": unmarked(volume["metadata"]),
                "image": image_properties(volume),
                "description": volume["description"],
                "multiattach": volume["multiattach"],
                "group": groups[volume["group_id"]]["name"] if volume["group_id"] in groups else volume["group_id"],
            }
            owner = volume["os-vol-tenant-attr:tenant_id"]
            text = f"volume {volume['name']}, {volume['size']} GiB, {volume['status']}, {self.told(owner, about)}"
            self.seen.add(text, volume["id"])
        for each in self.admin.cinder("GET", "/attachments/detail?all_tenants=1")["attachments"]:
            volume = self.volume_names.get(each["volume_id"], each["volume_id"])
            server = self.server_names.get(each["instance"], each["instance"])
            self.seen.add(f"Cinder's attachment of {volume} to {server}, {each['status']}")
        for each in groups.values():
            self.seen.add(f"Cinder group {each['name']}, {each['status']}", each["id"])
        for each in self.admin.cinder("GET", "/group_snapshots/detail?all_tenants=1")["group_snapshots"]:
            self.seen.add(f"group snapshot {each['name']}, {each['status']}", each["id"])
        for each in self.admin.cinder("GET", "/snapshots/detail?all_tenants=1")["snapshots"]:
            volume = self.volume_names.get(each["volume_id"], each["volume_id"])
            self.seen.add(f"snapshot {each['name']} of {volume}, {each['status']}", each["id"])
        for each in self.admin.cinder("GET", "/volume-transfers/detail?all_tenants=1")["transfers"]:
            self.seen.add(f"transfer of {self.volume_names.get(each['volume_id'])}", each["id"])

    def network(self):
        addresses = {}
        for port in self.admin.neutron("GET", "/ports")["ports"]:
            addresses[port["id"]] = [each["ip_address"] for each in port["fixed_ips"]]
            self.port(port, addresses[port["id"]])
        for each in self.admin.neutron("GET", "/floatingips")["floatingips"]:
            to = addresses.get(each["port_id"], "nothing")
            self.seen.add(f"floating IP {each['floating_ip_address']} to {to}, {each['status']}", each["id"])
        for plural in ("networks", "subnets", "routers", "security-groups"):
            for each in self.admin.neutron("GET", "/" + plural)[plural.replace("-", "_")]:
                if each["name"] == "default":
                    # Neutron makes one for each project, the first time that somebody of it looks.
                    continue
                rules = f", {len(each['security_group_rules'])} rules" if "security_group_rules" in each else ""
                self.seen.add(f"{plural[:-1]} {each['name']} of {self.project(each['project_id'])}{rules}", each["id"])

    def port(self, port, addresses):
        user = self.server_names.get(port["device_id"], port["device_owner"] or "nobody")
        network = self.networks.get(port["network_id"], port["network_id"])
        groups = len(port["security_groups"])
        text = f"port {network} {addresses} of {user}, {port['status']}, {groups} security groups"
        self.seen.add(text, port["id"])

    def images(self):
        for each in self.admin.glance("GET", "/images?limit=1000")["images"]:
            self.seen.add(f"image {each['name']} of {self.project(each['owner'])}, {each['status']}", each["id"])

    def shares(self):
        """What quotas and Placement hold to be used, of each project."""
        for found, name in self.projects.items():
            quotas = self.admin.cinder("GET", f"/os-quota-sets/{found}?usage=True")["quota_set"]
            self.quota(name, "Cinder", quotas)
            self.quota(name, "Nova", self.admin.nova("GET", f"/os-quota-sets/{found}/detail")["quota_set"])
            path = "/usages?project_id=" + found
            for kind, count in self.admin.req("placement", "GET", path, mv=PLACEMENT)["usages"].items():
                self.seen.add(f"Placement: {kind} of {name}", count=count)

    def quota(self, project, service, quotas):
        for kind, share in quotas.items():
            for use in ("in_use", "reserved"):
                if isinstance(share, dict) and share[use]:
                    self.seen.add(f"{service}'s quota of {project}: {kind} {use}", count=share[use])

    def files(self):
        """Of the volumes' back end, without what replication keeps there, see `replicas`."""
        for name in disks.of(self.site).own_names():
            volume, _, snapshot = name.removeprefix("volume-").partition("@")
            what = self.volume_names.get(volume, "nobody: " + name)
            self.seen.add(f"file of {'a snapshot of ' if snapshot else ''}{what}")

    def told(self, project, about):
        said = ", ".join(f"{key} {json.dumps(value, sort_keys=True)}" for key, value in about.items() if value)
        return f"of {self.project(project)}: {said}"


def census(site):
    """Everything on a site."""
    return Counting(site).all()


def replicas(site):
    """How many volumes' replicas are on the site's array, and how many are half made there."""
    return disks.of(site).replicas()


def unmarked(metadata):
    """Without the marks that protector puts on what it makes, which are no part of the original."""
    return {key: value for key, value in metadata.items() if not key.startswith(MARKS)}


def image_properties(volume):
    """What Nova reads of the image from a boot volume: firmware, buses, guest agent."""
    properties = volume.get("volume_image_metadata", {})
    return {key: value for key, value in properties.items() if key not in OF_THE_IMAGE}


def short(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else None
