"""A server with everything goes to the other site and back, and keeps what docs/what-a-copy-keeps.md says.

What both clouds show of it to an administrator, of its volumes, its ports and its flavor, is written down before, on the
other site, and after the return. An attribute that the table calls kept must be the same at all three; what the table does
not know must not be there.
"""

import base64
import json
import os
import subprocess
import sys

import seed
from cloud import Cloud
from terminal import NotSo

from . import application
from .application import BACKEND, BACKEND_CIDR, SITES, SOURCE, TARGET
from .census import image_properties, unmarked
from .group import ARRAYS, NAME, Findings, Group, faults, log_file, notes

SERVER = "whole"
COMPUTE, VOLUME = "2.96", "3.70"
# Both sites' networks have the same ranges.
IPV6 = "fd00:20::/64"
FRONT_ADDRESSES = ("10.20.0.71", "10.20.0.72")
BACK_ADDRESS = "10.30.0.71"
MARK = " (protector:"


def fates():
    """Thing and attribute to its fate, as the program itself has them."""
    manage = os.path.join(os.environ["BIN"], "protector-manage")
    page = subprocess.run([manage, "carried"], capture_output=True, text=True, check=True).stdout
    found, thing = {}, None
    for line in page.splitlines():
        if line.startswith("## "):
            thing = line[3:].split(" (")[0].lower()
        elif line.startswith("| `"):
            name, fate = (cell.strip() for cell in line.split("|")[1:3])
            found[thing, name.strip("`")] = fate
    return found


def make_networks(site):
    cloud = Cloud(site)
    front = seed.make_network(cloud)
    subnet = {
        "network_id": front,
        "name": "prod-net-6",
        "ip_version": 6,
        "cidr": IPV6,
        "ipv6_address_mode": "slaac",
        "ipv6_ra_mode": "slaac",
    }
    cloud.neutron("POST", "/subnets", {"subnet": subnet})
    back = seed.make_network(cloud, BACKEND, BACKEND_CIDR)
    public = cloud.by_name("network", "/networks?name=public", "networks", "public")["id"]
    gateway = {"router": {"name": SERVER, "external_gateway_info": {"network_id": public}}}
    router = cloud.neutron("POST", "/routers", gateway)["router"]["id"]
    subnets = cloud.neutron("GET", "/subnets?ip_version=4&network_id=" + front)["subnets"]
    cloud.neutron("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnets[0]["id"]})
    seed.make_security_group(cloud)
    seed.make_key_pair(cloud)
    seed.make_image(cloud, application.IMAGE, **application.IMAGE_PROPERTIES)
    return front, back


def make_server(front, back):
    cloud = Cloud(SOURCE)
    group = cloud.neutron("GET", "/security-groups?name=" + seed.GROUP)["security_groups"][0]["id"]
    guarded = {
        "network_id": front,
        "name": "whole-front",
        "description": "what the world sees",
        "fixed_ips": [{"ip_address": address} for address in FRONT_ADDRESSES],
        "security_groups": [group],
        "allowed_address_pairs": [{"ip_address": "10.20.0.99"}],
        "mac_address": "fa:16:3e:0f:00:01",
    }
    open_port = {
        "network_id": back,
        "name": "whole-back",
        "fixed_ips": [{"ip_address": BACK_ADDRESS}],
        "security_groups": [],
        "port_security_enabled": False,
    }
    # The second card is made first: Neutron's list has another order than the cards.
    ports = [cloud.neutron("POST", "/ports", {"port": port})["port"]["id"] for port in (open_port, guarded)]
    cloud.neutron("PUT", f"/ports/{ports[1]}/tags", {"tags": ["blue", "front"]})
    public = cloud.by_name("network", "/networks?name=public", "networks", "public")["id"]
    outer = {"floating_network_id": public, "port_id": ports[1], "fixed_ip_address": FRONT_ADDRESSES[0]}
    floating = cloud.neutron("POST", "/floatingips", {"floatingip": outer})["floatingip"]
    servers = {"server_group": {"name": SERVER, "policy": "anti-affinity"}}
    together = cloud.nova("POST", "/os-server-groups", servers)["server_group"]["id"]
    boot = seed.make_volume(cloud, "whole-boot", (64,), imageRef=cloud.image(application.IMAGE), description="boots")
    data = seed.make_volume(cloud, "whole-data", (3,), description="what matters")
    cloud.server(
        SERVER,
        boot,
        [data],
        networks=[{"port": ports[1]}, {"port": ports[0]}],
        key_name=seed.KEY,
        metadata={"role": "whole", "cost-centre": "4711"},
        user_data=base64.b64encode(seed.USER_DATA.format(SERVER).encode()).decode(),
        config_drive=True,
        description="has everything",
        tags=["gold", "prod"],
        hostname="whole-host",
        hints={"group": together},
    )
    return floating["floating_ip_address"]


def shown(site):
    """Thing to what its API shows of it: the server, its flavor, its volumes by name, its ports by name."""
    admin = Cloud(site + "-dr-admin")
    listed = admin.nova("GET", "/servers/detail")["servers"]
    found = next((each["id"] for each in listed if each["name"] == SERVER), None)
    if not found:
        raise NotSo(f"{site} has no server {SERVER}")
    server = admin.nova("GET", "/servers/" + found, mv=COMPUTE)["server"]
    flavors = admin.nova("GET", "/flavors/detail", mv=COMPUTE)["flavors"]
    flavor = next(each for each in flavors if each["name"] == server["flavor"]["original_name"])
    yield "server", SERVER, server
    yield "flavor", flavor["name"], flavor
    for attached in server["os-extended-volumes:volumes_attached"]:
        volume = admin.cinder("GET", "/volumes/" + attached["id"], mv=VOLUME)["volume"]
        yield "volume", volume["name"], volume
    ports = admin.neutron("GET", "/ports?device_id=" + found)["ports"]
    for port in ports:
        yield "port", port["name"], port


def own_words(thing, attribute, value):
    """A value as the original would show it: without our marks, without ids of the site."""
    if attribute in ("metadata", "volume_image_metadata"):
        value = unmarked(value) if attribute == "metadata" else image_properties({attribute: value})
    if thing == "port" and attribute == "description":
        value = value.partition(MARK)[0] if not value.startswith(MARK[1:]) else ""
    if thing == "port" and attribute == "fixed_ips":
        value = sorted(each["ip_address"] for each in value)
    if thing == "server" and attribute == "addresses":
        value = {
            network: sorted(
                (each["addr"], each["OS-EXT-IPS-MAC:mac_addr"])
                for each in cards
                if each["OS-EXT-IPS:type"] == "fixed"
            )
            for network, cards in value.items()
        }
    if attribute == "tags":
        value = sorted(value)
    return value


def written_down(site):
    kept = {}
    for thing, name, about in shown(site):
        for attribute, value in about.items():
            kept[thing, name, attribute] = own_words(thing, attribute, value)
    return kept


def differences(before, after, known):
    """What the table does not allow, one line each; and what it foretells, by fate."""
    wrong, foretold = [], {}
    for key in sorted(before.keys() | after.keys()):
        thing, name, attribute = key
        fate = known.get((thing, attribute))
        if fate is None:
            wrong.append(f"the table does not know {attribute} of a {thing}")
            continue
        if before.get(key) == after.get(key):
            continue
        told = f"{attribute} of {thing} {name}: {json.dumps(before.get(key))} -> {json.dumps(after.get(key))}"
        if fate == "kept":
            wrong.append(told)
        else:
            foretold.setdefault(fate, set()).add(f"{thing}.{attribute}")
    return wrong, foretold


def order_of_cards(site):
    """The names of the ports in the order of the server's cards."""
    everything = list(shown(site))
    names = {about["mac_address"]: name for thing, name, about in everything if thing == "port"}
    server = next(about for thing, _, about in everything if thing == "server")
    cards = [each["OS-EXT-IPS-MAC:mac_addr"] for cards in server["addresses"].values() for each in cards]
    return [names.get(mac, mac) for mac in dict.fromkeys(cards)]


def beside(site):
    """What is wrong with the server's group and its floating IP."""
    admin = Cloud(site + "-dr-admin")
    server = next(about for thing, _, about in shown(site) if thing == "server")
    groups = [admin.nova("GET", "/os-server-groups/" + each)["server_group"] for each in server["server_groups"]]
    found = [(group["name"], group["policy"]) for group in groups]
    if found != [(SERVER, "anti-affinity")]:
        yield f"the server is in the groups {found}"
    ports = {about["id"] for thing, name, about in shown(site) if thing == "port" and name == "whole-front"}
    led = [each for each in admin.neutron("GET", "/floatingips")["floatingips"] if each["port_id"] in ports]
    if [each["fixed_ip_address"] for each in led] != [FRONT_ADDRESSES[0]]:
        yield f"the floating IPs of its port are {led}"


def floating_ips_of(site, address):
    """Of a site: the server's, if it is this one."""
    found = Cloud(site + "-dr-admin").neutron("GET", "/floatingips?floating_ip_address=" + address)["floatingips"]
    if not (found and found[0]["port_id"]):
        yield f"floating IP {address} of {site} leads nowhere"


class WholeVm:
    def __init__(self):
        self.group = Group(log_file("whole-vm"))
        self.findings = Findings()
        self.known = fates()
        self.good = True

    def check(self, place, problems):
        self.good &= self.findings.of(place, problems)

    def protect(self, floating):
        mappings = [word for name in (seed.NETWORK, BACKEND) for word in ("--network-mapping", f"{name}={name}")]
        sites = ["--primary-site", SOURCE, "--secondary-site", TARGET]
        self.group.openstack("dr", "protection-group", "create", NAME, *sites, "--volume-type", "replicated", *mappings)
        self.group.openstack("dr", "policy", "create", NAME, *ARRAYS[os.environ["TESTBED_BACKEND"]], "--rpo-minutes", "15")
        self.group.openstack("dr", "member", "add", NAME, SERVER)
        plan = os.path.join(os.environ["E2E_DIR"], "plan.json")
        with open(plan, "w") as out:
            json.dump({"members": {SERVER: {"floating_ips": {floating: "public"}}}}, out)
        self.group.openstack("dr", "recovery-plan", "set", NAME, "--file", plan)

    def hop(self, words, target, before, cards):
        move = self.group.move(*words)
        self.check("the record", faults(move.record))
        self.check("the record", notes(move.record))
        wrong, foretold = differences(before, written_down(target), self.known)
        self.check(f"on {target}", wrong)
        found = order_of_cards(target)
        self.check(f"on {target}", [] if found == cards else [f"the cards are {found}, not {cards}"])
        self.check(f"on {target}", beside(target))
        left = Cloud((SOURCE if target == TARGET else TARGET) + "-dr-admin").neutron("GET", "/ports")["ports"]
        ours = [f"port {each['id']} is left: {each['description']}" for each in left if MARK[1:] in each["description"]]
        self.check("on the site that was left", ours)
        print(f"  {words[0]} to {target}: {move.seconds:.1f} s; {len(before)} values compared. Differs, as foretold:", flush=True)
        for fate in sorted(foretold):
            print(f"    {fate}: {', '.join(sorted(foretold[fate]))}", flush=True)


def main():
    story = WholeVm()
    try:
        networks = {site: make_networks(site) for site in SITES}
        floating = make_server(*networks[SOURCE])
        before, cards = written_down(SOURCE), order_of_cards(SOURCE)
        story.check(SOURCE, [] if cards == ["whole-front", "whole-back"] else [f"the cards are {cards}"])
        story.check(SOURCE, beside(SOURCE))
        story.protect(floating)
        story.hop(("failover", NAME), TARGET, before, cards)
        story.hop(("failback", NAME), SOURCE, before, cards)
        story.check(SOURCE, floating_ips_of(SOURCE, floating))
        story.group.openstack("dr", "protection-group", "delete", NAME)
    except NotSo as problem:
        print(f"FAILED: {problem}\nLog: {story.group.log}", flush=True)
        return 1
    if not story.good:
        print(f"Not as it should be. Log: {story.group.log}")
    return 0 if story.good else 1


if __name__ == "__main__":
    sys.exit(main())
