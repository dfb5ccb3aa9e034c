"""Gives the requests of schemathesis.sh something to meet, and says what it is.

    schemathesis_fixture.py KEYSTONE API DOCUMENT

Makes, as the demo's tenant, a server with a volume in the group `web`, the group `bare` and an operation; as
administrator, the site `site-x`. Prints the OpenAPI document with the names and ids of these in the place of any text,
since a path of made-up words leads nowhere; and on stderr the tokens of the three callers, a line each.
"""

import json
import sys
import time
import urllib.request

KEYSTONE, API, DOCUMENT = sys.argv[1:]


def call(method, url, body=None, token=None):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["X-Auth-Token"] = token
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
        return answer.headers, json.loads(text) if text else None


class Login:
    """A token of a project, and where the services are."""

    def __init__(self, user, project):
        domain = {"name": "Default"}
        identity = {"methods": ["password"], "password": {"user": {"name": user, "password": user, "domain": domain}}}
        scope = {"project": {"name": project, "domain": domain}}
        headers, body = call("POST", f"{KEYSTONE}/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
        self.token = headers["X-Subject-Token"]
        self.project = body["token"]["project"]["id"]
        self.urls = {
            service["type"]: next(e["url"] for e in service["endpoints"] if e["interface"] == "public").rstrip("/")
            for service in body["token"]["catalog"]
        }

    def ask(self, method, url, body=None):
        return call(method, url, body, self.token)[1]

    def until(self, url, noun, wanted):
        for _ in range(600):
            found = self.ask("GET", url)[noun]
            if found["status"] in wanted:
                return found
            time.sleep(0.1)
        raise SystemExit(f"{url} did not become {wanted}: {found}")


def server_of(tenant):
    """A server that boots from a replicated volume."""
    urls = tenant.urls
    images = tenant.ask("GET", urls["image"].removesuffix("/v2") + "/v2/images")["images"]
    image = next(image["id"] for image in images if image["name"] == "tiny")
    cinder = urls.get("volumev3") or urls["block-storage"]
    new = {"size": 1, "name": "vol-boot", "volume_type": "replicated", "imageRef": image}
    volume = tenant.ask("POST", f"{cinder}/volumes", {"volume": new})["volume"]["id"]
    tenant.until(f"{cinder}/volumes/{volume}", "volume", ["available"])
    flavors = tenant.ask("GET", f"{urls['compute']}/flavors")["flavors"]
    flavor = next(flavor["id"] for flavor in flavors if flavor["name"] == "small")
    networks = tenant.ask("GET", urls["network"].removesuffix("/v2.0") + "/v2.0/networks?name=demo-net")
    network = networks["networks"][0]["id"]
    disk = {"boot_index": 0, "uuid": volume, "source_type": "volume", "destination_type": "volume"}
    new = {"name": "web-server-1", "flavorRef": flavor, "networks": [{"uuid": network}], "block_device_mapping_v2": [disk]}
    server = tenant.ask("POST", f"{urls['compute']}/servers", {"server": new})["server"]["id"]
    tenant.until(f"{urls['compute']}/servers/{server}", "server", ["ACTIVE"])
    return server


def furnish(tenant, admin):
    """What the requests meet: the words of parameters by name, and of fields by schema and name."""
    server = server_of(tenant)
    groups = f"{API}/v1/{tenant.project}/protection-groups"
    for name in ["web", "bare"]:
        group = {"name": name, "primary_site": "site-a", "secondary_site": "site-b"}
        group |= {"replication_type": "async", "volume_type": "replicated"}
        made = tenant.ask("POST", groups, {"protection_group": group})["protection_group"]["id"]
        web = made if name == "web" else web
    policy = {"primary_fa_url": "mock://array-a", "secondary_fa_url": "mock://array-b", "rpo_minutes": 15}
    tenant.ask("POST", f"{groups}/web/policy", {"policy": policy})
    member = tenant.ask("POST", f"{groups}/web/members", {"member": {"server_id": server}})["member"]["id"]
    operation = tenant.ask("POST", f"{groups}/web/action", {"sync": {}})["operation"]["id"]
    tenant.until(f"{API}/v1/{tenant.project}/operations/{operation}", "operation", ["completed", "failed"])
    site_b = admin.ask("GET", f"{API}/v1/admin/sites/site-b")["site"]
    # A site for administrators to change: what the tenants use must stay reachable.
    login = {"username": "protector", "password": "protector", "auth_url": site_b["auth_url"]}
    admin.ask("POST", f"{API}/v1/admin/sites", {"site": {"name": "site-x"} | login})
    mapping = admin.ask("GET", f"{API}/v1/admin/tenant-mappings")["tenant_mappings"][0]["id"]
    parameters = {
        "project_id": [tenant.project],
        "group": ["web", web, "bare", "nothing"],
        "member": ["web-server-1", member, "nothing"],
        "operation": [operation, "op-nothing"],
        "mapping": [mapping, "nothing"],
        "site": ["site-x", "nothing"],
        "protection_group": ["web", "nothing"],
        "If-Match": ["*", '"1"', '"2"', "7"],
        "OpenStack-API-Version": ["protector 1.0", "protector 1.1", "protector latest", "protector 9.9"],
    }
    fields = {
        ("NewGroup", "primary_site"): ["site-a"],
        ("NewGroup", "secondary_site"): ["site-b"],
        ("NewGroup", "volume_type"): ["replicated"],
        ("NewMember", "server_id"): [server],
        ("TestCleanup", "test_operation_id"): [operation],
    }
    return parameters, fields


def narrow(document, parameters, fields):
    """The same document about things that are there: words that requests are made from, in the place of any text."""
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] in parameters:
                    parameter["schema"] = {"type": "string", "enum": parameters[parameter["name"]]}
    for (schema, field), words in fields.items():
        document["components"]["schemas"][schema]["properties"][field] = {"type": "string", "enum": words}
    return document


def main():
    callers = {
        "tenant": Login("demo", "demo"),
        "service": Login("protector", "service"),
        "admin": Login("admin", "admin"),
    }
    known = furnish(callers["tenant"], callers["admin"])
    with open(DOCUMENT, encoding="utf-8") as file:
        document = narrow(json.load(file), *known)
    json.dump(document, sys.stdout)
    for name, login in callers.items():
        print(name, login.token, file=sys.stderr)


main()
