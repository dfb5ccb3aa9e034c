#!/usr/bin/env python3
"""Make one volume or server of a site misbehave, unseen by whoever uses the cloud.

fault.py SITE volume NAME-OR-ID  fail=create|delete|manage|attach|busy [delay=CALL:SECONDS[,...]]
fault.py SITE server NAME-OR-ID  fail=spawn|power_off|power_on|destroy [delay=CALL:SECONDS[,...]]
fault.py SITE backend NAME       the same as for a volume, for a file that Cinder does not manage yet
fault.py SITE volume|server|backend NAME-OR-ID clear
fault.py SITE list
fault.py SITE clear

What happens then: `delete` leaves a volume in error_deleting, `busy` sends it back to available, a
delay keeps it in deleting; a server whose `destroy` fails goes to ERROR and keeps its volumes.
"""

import os
import sys

from cloud import BASE, Cloud

CALLS = {
    "volume": {"create", "delete", "manage", "attach", "busy"},
    "server": {"spawn", "power_off", "power_on", "destroy"},
}
CALLS["backend"] = CALLS["volume"]


def folder(site):
    return os.path.join(BASE, site, "state", "faults")


def resolve(site, kind, name):
    """The id of the volume or server of any project that has this name or id."""
    if kind == "backend":
        return name
    admin = Cloud(site + "-admin")
    found = (
        admin.cinder("GET", "/volumes/detail?all_tenants=1")["volumes"]
        if kind == "volume"
        else admin.nova("GET", "/servers/detail?all_tenants=1")["servers"]
    )
    ids = [each["id"] for each in found if name in (each["id"], each["name"])]
    if len(ids) != 1:
        sys.exit(f"{site}: {len(ids)} {kind}s are called {name}; one is needed, give its id")
    return ids[0]


def lines(kind, wishes):
    for wish in wishes:
        what, _, value = wish.partition("=")
        calls = {value} if what == "fail" else {part.partition(":")[0] for part in value.split(",")}
        if what not in ("fail", "delay") or not calls <= CALLS[kind]:
            sys.exit(f"{wish}: expected fail=CALL or delay=CALL:SECONDS, CALL of {sorted(CALLS[kind])}")
        yield f"testbed_{what}={value}\n"


def main(site, *rest):
    faults = folder(site)
    os.makedirs(faults, exist_ok=True)
    if rest in (("list",), ("clear",)):
        for name in sorted(os.listdir(faults)):
            path = os.path.join(faults, name)
            if rest == ("clear",):
                os.unlink(path)
            else:
                with open(path) as fault:
                    print(name, *fault.read().split())
        return
    if len(rest) < 3 or rest[0] not in CALLS:
        sys.exit(__doc__)
    kind, name, *wishes = rest
    path = os.path.join(faults, resolve(site, kind, name))
    if wishes == ["clear"]:
        if os.path.exists(path):
            os.unlink(path)
        return
    text = "".join(lines(kind, wishes))
    with open(path + ".part", "w") as fault:
        fault.write(text)
    os.replace(path + ".part", path)
    print(path, *text.split())


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
