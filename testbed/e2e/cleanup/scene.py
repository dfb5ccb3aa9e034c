"""What a case works with: the openstack command as the tenant types it, and looks at the clouds that never ask protector."""

import hashlib
import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import disks
import processes
import seed
from cloud import Cloud
from terminal import OPENSTACK, PATIENCE, NotSo, Terminal

SOURCE, TARGET = "site-a", "site-b"
NETWORK, TEST_NETWORK = seed.NETWORK, "test-net"
BOOT_MARKS, DATA_MARKS = (32, 1023), (0, 3, 512, 1023)


@contextmanager
def engines_stand_still():
    """No engine does anything meanwhile: shorter than a lease, so none takes anything over from another."""
    for site in (SOURCE, TARGET):
        processes.send("engine", site, signal.SIGSTOP)
    try:
        yield
    finally:
        for site in (SOURCE, TARGET):
            processes.send("engine", site, signal.SIGCONT)


@dataclass(frozen=True)
class Volume:
    id: str
    name: str
    marks: tuple = ()
    digest: str = ""

    @property
    def step(self):
        return "delete_source_volume:" + self.name


@dataclass(frozen=True)
class Server:
    id: str
    name: str
    boot: Volume
    data: Volume

    @property
    def step(self):
        return "delete_source_vm:" + self.name

    @property
    def volumes(self):
        return (self.boot, self.data)

    @property
    def steps(self):
        return {self.step, self.boot.step, self.data.step}


@dataclass
class Record:
    """What `openstack dr operation show` says."""

    shown: dict
    errors: dict = field(init=False)

    def __post_init__(self):
        self.errors = {entry["step"]: entry["error"] for entry in self.shown["steps_failed"]}

    def left(self, *steps):
        """It completed, and exactly these steps failed."""
        if self.shown["status"] != "completed":
            raise NotSo(f"the operation is {self.shown['status']}: {self.shown.get('error')}")
        if set(self.errors) != set(steps):
            raise NotSo(f"steps_failed are {self.errors}, not {sorted(steps)}")
        done = set(self.shown["steps_completed"])
        if done & set(steps):
            raise NotSo(f"{done & set(steps)} are completed and failed at once")
        return self

    def says(self, step, *texts):
        """The error of this step holds these texts, in any case of letters."""
        for text in texts:
            if text.lower() not in self.errors[step].lower():
                raise NotSo(f"the record says of {step}: {self.errors[step]!r}, without {text!r}")
        return self

    def completed(self, *steps):
        missing = set(steps) - set(self.shown["steps_completed"])
        if missing:
            raise NotSo(f"steps_completed are without {sorted(missing)}")
        return self


def digest(site, volume, marks):
    """Of the MiBs of a volume that were written when it was made."""
    found = hashlib.sha256()
    backend = disks.of(site)
    for mark in marks:
        found.update(backend.read(disks.name_of(volume), mark))
    return found.hexdigest()


class Scene(Terminal):
    """One case: a tenant's protection group of one server with two volumes, and what happens to it."""

    def __init__(self, name, folder, alone):
        super().__init__(os.path.join(folder, f"case-{name}.log"), SOURCE)
        self.name = name
        # A context in which no other case uses the clouds.
        self.alone = alone
        self.group = "pg-" + name
        self.operation = None
        self.found = []
        self.source, self.target = Cloud(SOURCE), Cloud(TARGET)
        # An administrator sees more of a server, and is asked where the tenant's own view could mislead.
        self.source_admin = Cloud(SOURCE + "-dr-admin")

    # --- what is typed

    def action(self, action, *words, code=0):
        """An action of the group, in its long form."""
        return self.openstack("protector", "protection-group", "action", self.group, "--action", action, *words, code=code)

    def note(self, text):
        """What was found to be so."""
        self.found.append(text)
        with open(self.log, "a") as log:
            print("##", text, file=log)

    # --- before

    def server(self, name=None):
        """A server of the tenant with a boot and a data volume, not protected."""
        name = name or self.name
        boot, data = (
            seed.make_volume(self.source, f"vol-{kind}-{name}", marks, **more)
            for kind, marks, more in (
                ("boot", BOOT_MARKS, {"imageRef": self.source.image()}),
                ("data", DATA_MARKS, {}),
            )
        )
        network = self.source.by_name("network", "/networks?name=" + NETWORK, "networks", NETWORK)["id"]
        made = self.source.server(name, boot, [data], networks=[{"uuid": network}], metadata={"case": self.name})
        return Server(
            made["id"],
            name,
            Volume(boot, f"vol-boot-{name}", BOOT_MARKS, digest(SOURCE, boot, BOOT_MARKS)),
            Volume(data, f"vol-data-{name}", DATA_MARKS, digest(SOURCE, data, DATA_MARKS)),
        )

    def protected_server(self):
        """The same, in a protection group of its own."""
        server = self.server()
        self.protect(server)
        return server

    def protect(self, server):
        create = ["dr", "protection-group", "create", self.group, "--primary-site", SOURCE, "--secondary-site", TARGET]
        self.openstack(*create, "--volume-type", "replicated", "--network-mapping", f"{NETWORK}={NETWORK}")
        arrays = ["--primary-fa-url", "mock://array-a", "--secondary-fa-url", "mock://array-b"]
        self.openstack("dr", "policy", "create", self.group, *arrays, "--rpo-minutes", "15")
        self.openstack("dr", "member", "add", self.group, server.name)

    # --- failover and cleanup

    @contextmanager
    def failover(self, server, *flags):
        """Fails the group over. The body happens while the copy is being built, before the group is switched.

        Before the switch a source server must be at rest and answer, so a body that keeps it from that belongs in
        `between_switch_and_cleanup`.
        """
        with self.failing_over(server, *flags):
            self.until(f"a copy of {server.name} on {TARGET}", lambda: self.copy_of(server))
            self.source_is_whole(server)
            yield

    @contextmanager
    def between_switch_and_cleanup(self, server):
        """Fails the group over. The body happens when the group runs on the target and nothing of the source has gone.

        The engines stand still meanwhile, so the case must be alone.
        """
        with self.failing_over(server):
            self.until(f"{self.group} to run on {TARGET}", self.has_moved, interval=0.02)
            with engines_stand_still():
                self.source_is_whole(server)
                yield

    @contextmanager
    def failing_over(self, server, *flags):
        """Fails the group over, with the body meanwhile, and waits for the end."""
        words = ["dr", "failover", self.group, "--wait", *flags, "-f", "value", "-c", "operation_id"]
        with open(self.log, "a") as log:
            print("$ openstack", *words, "&", file=log, flush=True)
            running = subprocess.Popen([OPENSTACK, *words], text=True, stdout=subprocess.PIPE, stderr=log)
        try:
            yield
            out, _ = running.communicate(timeout=PATIENCE)
        finally:
            running.kill()
            running.wait()
        if running.returncode != 0:
            raise NotSo(f"the failover ended with {running.returncode}: {out}; see {self.log}")
        self.operation = out.strip()

    def source_is_whole(self, server):
        """The body of a failover is worth nothing when the source's turn has come already."""
        if self.server_status(server) == "gone":
            raise NotSo(f"{server.name} was gone before the case could do its part: raise E2E_HEALTH_CHECK_SECONDS")

    def has_moved(self):
        """The group runs on the target, as the target's protector says without the detour of a command."""
        path = f"/v1/{self.target.project_id}/protection-groups?name={self.group}"
        (group,) = self.target.req("protector", "GET", path)["protection_groups"]
        return group["current_primary_site"] == TARGET

    def record(self):
        """What the operation's record says now."""
        return Record(json.loads(self.openstack("dr", "operation", "show", self.operation, "-f", "json")))

    def cleanup(self, code=0):
        """The output of `openstack dr operation cleanup`; 1 when something stays."""
        return self.openstack("dr", "operation", "cleanup", self.operation, code=code)

    def cleanup_finishes(self, server, deleted):
        """Cleanup deletes this many resources, all that was left; the record is clean and repeating it does nothing."""
        noun = "resource" if deleted == 1 else "resources"
        self.output_has(self.cleanup(), f"Cleanup completed. {deleted} {noun} deleted, 0 failures.")
        self.record().left().completed(*server.steps)
        self.source_is_empty(server)
        self.copy_is_well(server)
        self.output_has(self.cleanup(), "Nothing to clean up")
        self.note(f"cleanup then deletes the {deleted} that stayed" if deleted > 1 else "cleanup then deletes it")

    def output_has(self, output, *texts):
        for text in texts:
            if text not in output:
                raise NotSo(f"the output is without {text!r}: {output[-800:]}")

    # --- the clouds

    def server_status(self, server):
        answer = self.source_admin.raw("compute", "GET", "/servers/" + server.id)
        return "gone" if answer.status_code == 404 else answer.json()["server"]["status"]

    def volume(self, volume):
        answer = self.source_admin.raw("volumev3", "GET", "/volumes/" + volume.id)
        return None if answer.status_code == 404 else answer.json()["volume"]

    def volume_status(self, volume):
        found = self.volume(volume)
        return found["status"] if found else "gone"

    def stays(self, *volumes, status="available"):
        """These volumes are in this status, with the bytes they had."""
        for volume in volumes:
            if self.volume_status(volume) != status:
                raise NotSo(f"{volume.name} is {self.volume_status(volume)}, not {status}")
            if digest(SOURCE, volume.id, volume.marks) != volume.digest:
                raise NotSo(f"{volume.name} is there, but its bytes are not what they were")

    def server_stays(self, server, status):
        if self.server_status(server) != status:
            raise NotSo(f"{server.name} is {self.server_status(server)}, not {status}")

    def went(self, *things):
        """These servers and volumes are gone; of volumes the bytes too."""
        for thing in things:
            status = self.volume_status(thing) if isinstance(thing, Volume) else self.server_status(thing)
            if status != "gone":
                raise NotSo(f"{thing.name} should be gone and is {status}")
            if isinstance(thing, Volume) and disks.of(SOURCE).has(disks.name_of(thing.id)):
                raise NotSo(f"{thing.name} is gone from Cinder and still on the back end")

    def source_is_empty(self, server):
        self.went(server, *server.volumes)
        ports = self.source_admin.neutron("GET", "/ports?device_id=" + server.id)["ports"]
        if ports:
            raise NotSo(f"port {ports[0]['id']} of {server.name} is still on {SOURCE}")

    def copy_of(self, server):
        """The server of that name on the target, or None."""
        found = self.target.nova("GET", "/servers/detail?name=" + server.name)["servers"]
        return seed.named(found, server.name)

    def copy_is_well(self, server):
        """The copy runs, with both volumes and their bytes: whatever happens to the source, nothing touches it."""
        copy = self.copy_of(server)
        if not copy or copy["status"] != "ACTIVE":
            raise NotSo(f"the copy of {server.name} on {TARGET} is {copy and copy['status']}, not ACTIVE")
        attached = [each["id"] for each in copy["os-extended-volumes:volumes_attached"]]
        volumes = {v["name"]: v for v in (self.target.cinder("GET", "/volumes/" + i)["volume"] for i in attached)}
        for volume in server.volumes:
            found = volumes.get(volume.name)
            if not found or found["status"] != "in-use":
                raise NotSo(f"the copy of {volume.name} is {found and found['status']}, not in-use by the copy")
            if digest(TARGET, found["id"], volume.marks) != volume.digest:
                raise NotSo(f"the copy of {volume.name} has other bytes than the original had")

    def until(self, what, true, seconds=PATIENCE, interval=0.3):
        """Waits until `true()` is; asks every `interval` seconds."""
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                raise NotSo(f"waited {seconds} s in vain for {what}")
            time.sleep(interval)
