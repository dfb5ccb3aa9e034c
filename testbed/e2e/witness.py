#!/usr/bin/env python3
"""What the story's clouds hold, asked of the clouds and of the files behind their volumes, never of protector.

witness.py remember FILE             what tenant dr has on site-a: its servers, and the bytes of their volumes
witness.py arrived FILE              site-b has the same servers, ACTIVE, with the same bytes on the same devices
witness.py gone FILE                 site-a has none of them: no server, volume, port or backing file
witness.py left FILE VOLUME...       ... except these volumes, which are available
witness.py operation FILE STATUS STEPS   the record of `operation show -f json` has this status and these failed steps
"""

import json
import sys

import disks
from cloud import Cloud

SOURCE, TARGET = "site-a", "site-b"
# What must be the same on both sites, as Nova tells it to an administrator in the tenant's project.
SAME = ("name", "key_name", "metadata", "description", "OS-EXT-SRV-ATTR:user_data")


def servers(site):
    """The tenant's servers by name, each with what a copy of it must have."""
    admin = Cloud(site + "-dr-admin")
    return {server["name"]: facts(admin, site, server) for server in admin.nova("GET", "/servers/detail")["servers"]}


def facts(admin, site, server):
    ports = admin.neutron("GET", "/ports?device_id=" + server["id"])["ports"]
    return {
        "id": server["id"],
        "status": server["status"],
        "same": {key: server.get(key) for key in SAME}
        | {
            "flavor": server["flavor"]["original_name"],
            "security_groups": sorted({group["name"] for group in server.get("security_groups", [])}),
            "addresses": sorted(ip["ip_address"] for port in ports for ip in port["fixed_ips"]),
        },
        "volumes": [volume(admin, site, place) for place in attachments(admin, server["id"])],
        "ports": [port["id"] for port in ports],
    }


def attachments(admin, server):
    found = admin.nova("GET", f"/servers/{server}/os-volume_attachments")["volumeAttachments"]
    return sorted(found, key=lambda place: place["device"])


def volume(admin, site, place):
    seen = admin.cinder("GET", "/volumes/" + place["volumeId"])["volume"]
    return {
        "id": seen["id"],
        "status": seen["status"],
        "same": {
            "name": seen["name"],
            "size": seen["size"],
            "bootable": seen["bootable"],
            "volume_type": seen["volume_type"],
            "device": place["device"],
            "sha256": disks.of(site).sha256(disks.name_of(seen["id"])),
        },
    }


def unmarked(same):
    """Without the marks that protector puts on what it makes, which are no part of the original."""
    metadata = {key: value for key, value in same["metadata"].items() if not key.startswith("protector:")}
    return same | {"metadata": metadata}


def differences(before, after):
    """What is wrong with the copies, one line each."""
    for name in sorted(before.keys() ^ after.keys()):
        yield f"server {name} is {'missing' if name in before else 'not expected'} on {TARGET}"
    for name in sorted(before.keys() & after.keys()):
        old, new = before[name], after[name]
        if new["status"] != "ACTIVE":
            yield f"server {name} is {new['status']}, not ACTIVE"
        old_same, new_same = unmarked(old["same"]), unmarked(new["same"])
        for key in old_same:
            if old_same[key] != new_same[key]:
                yield f"server {name}: {key} was {old_same[key]!r}, is {new_same[key]!r}"
        if len(old["volumes"]) != len(new["volumes"]):
            yield f"server {name} had {len(old['volumes'])} volumes, has {len(new['volumes'])}"
        for one, other in zip(old["volumes"], new["volumes"], strict=False):
            for key in one["same"]:
                if one["same"][key] != other["same"][key]:
                    yield f"volume {one['same']['name']}: {key} was {one['same'][key]!r}, is {other['same'][key]!r}"


def extras(after):
    """What the move made on the target beyond the copies: volumes of nobody, promoted files that were not imported."""
    used = {each["id"] for server in after.values() for each in server["volumes"]}
    for each in Cloud(TARGET).cinder("GET", "/volumes/detail")["volumes"]:
        if each["id"] not in used:
            yield f"volume {each['name']} ({each['id']}) on {TARGET} belongs to no server"
    for name in disks.of(TARGET).names():
        if name.startswith("protector-"):
            yield f"file {name} on the back end of {TARGET} was promoted and not imported"


def leftovers(before, kept):
    """What of the group is on the source, beyond the volumes that may be."""
    admin = Cloud(SOURCE + "-dr-admin")
    for name, server in before.items():
        if admin.raw("compute", "GET", "/servers/" + server["id"]).status_code != 404:
            yield f"server {name} ({server['id']}) is still on {SOURCE}"
        for port in admin.neutron("GET", "/ports?device_id=" + server["id"])["ports"]:
            yield f"port {port['id']} of server {name} is still on {SOURCE}"
        for each in server["volumes"]:
            yield from leftover_volume(admin, each, each["same"]["name"] in kept)


def leftover_volume(admin, each, kept):
    answer = admin.raw("volumev3", "GET", "/volumes/" + each["id"])
    file_there = disks.of(SOURCE).has(disks.name_of(each["id"]))
    what = f"volume {each['same']['name']} ({each['id']})"
    if kept:
        status = answer.json()["volume"]["status"] if answer.status_code == 200 else answer.status_code
        if status != "available" or not file_there:
            yield f"{what} should be kept and available; it is {status}, its file {'there' if file_there else 'gone'}"
    elif answer.status_code != 404:
        yield f"{what} is still on {SOURCE}: {answer.text[:200]}"
    elif file_there:
        yield f"{what} is gone from Cinder but its file is still on the back end"


def strangers(before):
    """What the tenant has on the source that was not there before."""
    cloud = Cloud(SOURCE)
    known = {server["id"] for server in before.values()}
    known |= {each["id"] for server in before.values() for each in server["volumes"]}
    found = cloud.nova("GET", "/servers/detail")["servers"] + cloud.cinder("GET", "/volumes/detail")["volumes"]
    for each in found:
        if each["id"] not in known:
            yield f"{each['name']} ({each['id']}) has appeared on {SOURCE}"


def operation(path, status, wanted):
    with open(path) as record:
        found = json.load(record)
    failed = steps(found.get("steps_failed"))
    if found["status"] != status:
        yield f"the operation is {found['status']}, not {status}: {found.get('error_message') or found.get('result')}"
    if failed != wanted.split():
        yield f"steps_failed are {failed}, not {wanted.split()}"
    if not wanted and found.get("progress") not in (100, "100", "100%"):
        yield f"progress is {found.get('progress')}, not 100"


def steps(failed):
    return [each["step"] if isinstance(each, dict) else each for each in failed or []]


def load(path):
    with open(path) as memory:
        return json.load(memory)


def report(problems, good):
    problems = list(problems)
    for problem in problems:
        print("  not so:", problem, file=sys.stderr)
    if not problems:
        print("  ok:", good)
    return 1 if problems else 0


def arrived(before):
    after = servers(TARGET)
    good = f"{len(after)} servers ACTIVE on {TARGET}, as they were on {SOURCE}"
    outcome = report([*differences(before, after), *extras(after)], good)
    for name in sorted(after) if outcome == 0 else ():
        for each in after[name]["volumes"]:
            print(f"      {name} {each['same']['device']} {each['same']['name']} sha256 {each['same']['sha256']}")
    return outcome


def main(command, path, *rest):
    if command == "remember":
        with open(path, "w") as memory:
            json.dump(servers(SOURCE), memory, indent=1)
        return 0
    if command == "operation":
        return report(operation(path, *rest), f"operation {rest[0]}, failed steps: {rest[1] or 'none'}")
    before = load(path)
    if command == "arrived":
        return arrived(before)
    if command in ("gone", "left"):
        problems = [*leftovers(before, rest), *strangers(before)]
        kept = ", ".join(rest)
        return report(problems, f"nothing of the group is left on {SOURCE}" + (f" but {kept}" if kept else ""))
    sys.exit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
