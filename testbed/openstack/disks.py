"""The bytes behind Cinder's volumes, in the back end that the bed was made with: a folder of files, or a pool of RBD images."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress

BASE = os.environ["TESTBED_BASE"]
MIB = 1 << 20
ZEROS = bytes(MIB)
# The object in which protector keeps notes of its mirrors.
NOTES = "protector"
CEPH_UP = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "ceph", "up.sh")
# Where the folder of an array is while nobody reaches it.
AWAY = ".lost"


def of(site):
    """The back end of a site."""
    return (Pool if os.environ["TESTBED_BACKEND"] == "rbd" else Folder)(site)


def name_of(volume):
    """What Cinder calls the bytes of a volume of this id."""
    return "volume-" + volume


def digest(extents, read, size):
    """SHA-256 of `size` bytes of which only these (offset, length) are written; the others are zero."""
    found, at = hashlib.sha256(), 0
    for offset, length in extents:
        skip(found, offset - at)
        end = offset + length
        while offset < end:
            step = min(MIB, end - offset)
            found.update(read(offset, step))
            offset += step
        at = end
    skip(found, size - at)
    return found.hexdigest()


def skip(found, length):
    while length > 0:
        step = min(MIB, length)
        found.update(ZEROS[:step])
        length -= step


class Folder:
    """A sparse file for each volume."""

    def __init__(self, site):
        self.path = os.path.join(BASE, site, "state", "volumes")

    def file(self, name):
        return os.path.join(self.path, name)

    def names(self):
        """Of volumes, and `volume@snapshot`."""
        return sorted(os.listdir(self.path))

    def own_names(self):
        """Without what replication keeps, which is in a folder of its own."""
        return [name for name in self.names() if not name.startswith(".")]

    def replicas(self):
        """How many volumes' replicas are here, and how many files are half made."""
        kept = staged = 0
        folder = self.file(".replica")
        for place, _, names in os.walk(folder):
            parts = os.path.relpath(place, folder).split(os.sep)
            if parts[0] == ".staging":
                staged += len(names)
            elif not parts[0].startswith("."):
                kept += len(names)
        return kept, staged

    def has(self, name):
        return os.path.exists(self.file(name))

    def size(self, name):
        return os.path.getsize(self.file(name))

    def used(self, name):
        """How many bytes of it are written."""
        return os.stat(self.file(name)).st_blocks * 512

    def received(self):
        """How many bytes clients have written here so far: nobody counts."""
        return 0

    def replication(self):
        """What there is of replication, one line each; a folder keeps it for the next time."""
        return []

    def write(self, name, marks):
        """Random MiBs at these places, in MiB."""
        with open(self.file(name), "r+b") as disk:
            for mark in marks:
                disk.seek(mark * MIB)
                disk.write(os.urandom(MIB))
            disk.flush()
            os.fsync(disk.fileno())

    def read(self, name, mark):
        """The MiB at this place."""
        with open(self.file(name), "rb") as disk:
            disk.seek(mark * MIB)
            return disk.read(MIB)

    def sha256(self, name):
        """What sha256sum prints, without reading the holes of a sparse file."""
        with open(self.file(name), "rb", buffering=0) as disk:
            size = os.fstat(disk.fileno()).st_size

            def read(offset, length):
                return os.pread(disk.fileno(), length, offset)

            return digest(written(disk.fileno(), size), read, size)

    def lose(self, kind):
        """Nobody reaches the folder."""
        os.rename(self.path, self.path + AWAY)

    def regain(self, kind):
        os.rename(self.path + AWAY, self.path)

    def wake(self):
        """Forgets what is lost still."""
        shutil.rmtree(self.path + AWAY, ignore_errors=True)

    def end_replication(self, primary):
        """Nothing to do: the other site's folder is a copy."""

    def remove(self, name):
        """A replication keeps what it brought in a folder of its own."""
        if os.path.isdir(self.file(name)):
            shutil.rmtree(self.file(name))
        else:
            os.unlink(self.file(name))


def written(disk, size):
    """The extents of a sparse file, as (offset, length)."""
    at = 0
    while at < size:
        try:
            data = os.lseek(disk, at, os.SEEK_DATA)
        except OSError:  # only a hole is left
            return
        at = os.lseek(disk, data, os.SEEK_HOLE)
        yield data, at - data


class Pool:
    """An RBD image for each volume, in the cluster of the site's name, which must be there: nothing waits for a lost one."""

    def __init__(self, site):
        self.conf = os.path.join(os.environ["CEPHBED_BASE"], site, site + ".conf")

    @contextmanager
    def pool(self):
        import rados

        # A connection for each use: one that outlives the loss of its cluster may never answer again.
        limits = {"client_mount_timeout": "30", "rados_mon_op_timeout": "30", "rados_osd_op_timeout": "60"}
        cluster = rados.Rados(conffile=self.conf, rados_id="cinder", conf=limits)
        cluster.connect(timeout=30)
        try:
            with cluster.open_ioctx("volumes") as pool:
                yield pool
        finally:
            cluster.shutdown()

    @contextmanager
    def image(self, name, write=False):
        import rbd

        with self.pool() as pool, rbd.Image(pool, name, read_only=not write) as image:
            yield image

    def names(self):
        """Of images, `image@snapshot`, and `trash:image`."""
        import rbd

        found = []
        with self.pool() as pool:
            for name, image in self.opened(pool):
                found += [name] + [f"{name}@{each['name']}" for each in image.list_snaps()]
            found += ["trash:" + each["name"] for each in rbd.RBD().trash_list(pool)]
        return sorted(found)

    @staticmethod
    def opened(pool):
        """Each image's name, and the image. A replica whose primary is not mirrored any more may go meanwhile."""
        import rbd

        for name in rbd.RBD().list(pool):
            with suppress(rbd.ImageNotFound), rbd.Image(pool, name, read_only=True) as image:
                yield name, image

    def own_names(self):
        """Without replicas and the recovery points of protector."""
        kept = {name for name, primary in self.mirroring().items() if not primary}
        return [name for name in self.names() if name.split("@")[0] not in kept and "@dr-" not in name]

    def replicas(self):
        """How many images are replicas of the other site's; none is half made that counts."""
        return sum(not primary for primary in self.mirroring().values()), 0

    def has(self, name):
        import rbd

        with self.pool() as pool:
            return name in rbd.RBD().list(pool)

    def size(self, name):
        with self.image(name) as image:
            return image.size()

    def used(self, name):
        return sum(length for _, length in self.extents(name))

    def extents(self, name):
        """What is written of an image or of its parent, as (offset, length)."""
        found = []
        with self.image(name) as image:
            image.diff_iterate(0, image.size(), None, lambda at, length, there: found.append((at, length)) if there else None)
        return found

    def received(self):
        """As the cluster's only OSD counts, from its start on: images, journals and all the small things of everybody."""
        command = ["ceph", "-c", self.conf, "--connect-timeout", "30", "tell", "osd.0", "perf", "dump", "osd"]
        told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
        return json.loads(told.stdout)["osd"]["op_in_bytes"]

    def replication(self):
        """Mirrored images, recovery points, and the notes of protector."""
        found = [f"mirrored image {name}" for name in self.mirroring()]
        found += [f"recovery point {name}" for name in self.names() if "@dr-" in name]
        found += [f"in the trash: {name}" for name in self.names() if name.startswith("trash:")]
        return found + [f"note {key}" for key in self.notes()]

    def notes(self):
        import rados

        with self.pool() as pool, rados.ReadOpCtx() as operation:
            found, _ = pool.get_omap_keys(operation, "", 10_000)
            try:
                pool.operate_read_op(operation, NOTES)
            except rados.ObjectNotFound:
                return []
            return [key for key, _ in found]

    def parent(self, name):
        """The image in another pool or this one that it is a clone of, or None."""
        import rbd

        with self.image(name) as image:
            try:
                pool, parent, _ = image.parent_info()
            except rbd.ImageNotFound:
                return None
            return f"{pool}/{parent}"

    def write(self, name, marks):
        with self.image(name, write=True) as image:
            for mark in marks:
                image.write(os.urandom(MIB), mark * MIB)
            image.flush()

    def read(self, name, mark):
        with self.image(name) as image:
            return image.read(mark * MIB, MIB)

    def sha256(self, name):
        extents = self.extents(name)
        with self.image(name) as image:
            return digest(extents, image.read, image.size())

    def lose(self, kind):
        """The cluster's daemons are killed, or frozen when the loss is `hanging`."""
        self.signal(signal.SIGSTOP if kind == "hanging" else signal.SIGKILL)

    def regain(self, kind):
        """The cluster is back as it was lost, and so is what mirrors."""
        if kind == "hanging":
            self.signal(signal.SIGCONT)
        subprocess.run([CEPH_UP], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=300, check=True)

    def wake(self):
        """Whatever way it was lost."""
        self.regain("hanging")

    def signal(self, number):
        folder = os.path.join(os.path.dirname(self.conf), "run")
        for name in os.listdir(folder):
            if name.endswith(".pid"):
                with open(os.path.join(folder, name)) as file:
                    pid = file.read().strip()
                if pid and self.is_ours(pid):
                    os.kill(int(pid), number)

    def is_ours(self, pid):
        """Whether the process is a daemon of this cluster, and not one that came to its number."""
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                return self.conf in file.read().split("\0")
        except FileNotFoundError:
            return False

    def end_replication(self, primary):
        """Takes the images that are primary, or that are not, out of mirroring, and their snapshots of protector away."""
        for name, is_primary in self.mirroring().items():
            if is_primary == primary:
                self.rbd("mirror", "image", "disable", "--force", name)
        if not primary:
            return
        for name in self.names():
            image, _, snapshot = name.partition("@")
            if snapshot.startswith("dr-"):
                self.rbd("snap", "rm", f"{image}@{snapshot}")
        with self.pool() as pool:
            if NOTES in [each.key for each in pool.list_objects()]:
                pool.remove_object(NOTES)

    def remove(self, name):
        """What nobody manages: an image with its snapshots, or what is in the trash."""
        if name.startswith("trash:"):
            self.rbd("trash", "purge")
        elif "@" not in name:
            for each in self.names():
                if each.startswith(name + "@"):
                    self.rbd("snap", "unprotect", each)
            self.rbd("snap", "purge", name)
            self.rbd("rm", name)

    def rbd(self, *words):
        """The rbd command, whatever comes of it: what was to be removed may be gone."""
        command = ["rbd", "-c", self.conf, "--id", "cinder", *words, "-p", "volumes"]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)

    def mirroring(self):
        """Image name to whether it is primary, of all images that are mirrored."""
        import rbd

        found = {}
        with self.pool() as pool:
            for name, image in self.opened(pool):
                about = image.mirror_image_get_info()
                if about["state"] == rbd.RBD_MIRROR_IMAGE_ENABLED:
                    found[name] = about["primary"]
        return found
