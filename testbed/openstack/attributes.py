#!/usr/bin/env python3
"""Records what the clouds show of a server, its volume, its port and its flavor, to an administrator.

attributes.py FOLDER   writes server.json, volume.json, port.json and flavor.json of web-server-1 on the first site
                       (seed.py seed makes it), at the microversions that protector asks for. A test holds the table of
                       docs/what-a-copy-keeps.md to them.
"""

import json
import os
import sys

from cloud import CLOUDS, Cloud

# crates/openstack/src/microversion.rs
COMPUTE, VOLUME = "2.96", "3.70"
SERVER = "web-server-1"


def recorded():
    site = min(name for name in CLOUDS if name == CLOUDS[name]["region_name"])
    tenant, admin = Cloud(site), Cloud(site + "-dr-admin")
    listed = tenant.nova("GET", "/servers/detail")["servers"]
    server_id = next(server["id"] for server in listed if server["name"] == SERVER)
    server = admin.nova("GET", "/servers/" + server_id, mv=COMPUTE)["server"]
    flavors = admin.nova("GET", "/flavors/detail", mv=COMPUTE)["flavors"]
    flavor = next(flavor for flavor in flavors if flavor["name"] == server["flavor"]["original_name"])
    volume = server["os-extended-volumes:volumes_attached"][0]["id"]
    yield "server", server
    yield "flavor", admin.nova("GET", "/flavors/" + flavor["id"], mv=COMPUTE)["flavor"]
    yield "volume", admin.cinder("GET", "/volumes/" + volume, mv=VOLUME)["volume"]
    yield "port", admin.neutron("GET", "/ports?device_id=" + server_id)["ports"][0]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    os.makedirs(sys.argv[1], exist_ok=True)
    for kind, shown in recorded():
        with open(os.path.join(sys.argv[1], kind + ".json"), "w") as out:
            json.dump(shown, out, indent=2, sort_keys=True)
            out.write("\n")
